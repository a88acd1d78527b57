/* The hook of every contender, as small as can be, so that what is measured is the daemon and not the hook.
 *
 * Compiled with -DJOURNAL="..." (a FIFO that the bench reads).  By the name that it is called by:
 *   start..., stop...  write one line "NODE WORD BEGIN END", the times in ns of CLOCK_MONOTONIC
 *   monitor...         succeed if the last of the two on this node was a start
 *   resource           a resource script: the last argument is start, stop or status
 *   stamp COMMAND ...  write a line with the word "exec", and become the command
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Less than PIPE_BUF, so lines of several hooks don't mix; a bench that reads no more must not block us. */
static void tell(const char *node, const char *word, long long begin)
{
	char line[200];
	int length, fifo = open(JOURNAL, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fifo < 0)
		return;
	length = snprintf(line, sizeof line, "%s %s %lld %lld\n", node, word, begin, now());
	if (write(fifo, line, length) != length)
		_exit(1);
	close(fifo);
}

int main(int argc, char **argv)
{
	long long begin = now();
	const char *name = strrchr(argv[0], '/'), *word;
	char node[65] = "", flag[300];
	int file;

	gethostname(node, sizeof node - 1);
	name = name ? name + 1 : argv[0];
	if (!strcmp(name, "stamp")) {
		tell(node, "exec", begin);
		execvp(argv[1], argv + 1);
		return 127;
	}
	word = strcmp(name, "resource") ? name : argv[argc - 1];
	snprintf(flag, sizeof flag, "%s.%s", JOURNAL, node);
	if (!strncmp(word, "start", 5)) {
		file = open(flag, O_WRONLY | O_CREAT, 0644);
		if (file >= 0)
			close(file);
		tell(node, "start", begin);
	} else if (!strncmp(word, "stop", 4)) {
		unlink(flag);
		tell(node, "stop", begin);
	} else if (!strcmp(name, "resource")) {
		puts(access(flag, F_OK) ? "stopped" : "running"); /* what heartbeat looks for */
	} else {
		return access(flag, F_OK) ? 3 : 0;
	}
	return 0;
}
