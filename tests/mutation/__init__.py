"""Mutation testing of had/core and had/wire: ``make mutants``.

mutmut makes the mutants: each is one function with one operator, number, name, argument or text changed.
Running them is ours (:mod:`mutation.oracle`), since mutmut's own runner collects all tests anew for each
mutant, which would take hours here, and knows no second stage.  Nothing is written into the tree: a mutant
is the code of a function, and takes its place in a forked process that lives as long as it.

``survivors.txt`` lists the mutants that nothing kills, each with the reason why it is harmless; the run fails
if one survives that is not listed.  Tables, constants and defaults, which mutmut leaves alone, are broken by
``test_tables.py``.
"""
