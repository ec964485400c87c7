"""The roofline: how far a step is from the speed of memory, as tables.

One module per part of the command (`llm`, `seed`, `growth`, `passes`, `fixed`); each measures and
renders its table. `clock` times calls. Read `__main__` first.
"""
