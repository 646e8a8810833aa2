"""Count floating-point operations, measure peak memory, and describe the machine."""
