"""How far a step is from the speed of memory: tables that anyone can measure again."""
