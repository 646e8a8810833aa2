"""Count floating-point operations, launches and waits; measure peak memory; describe the machine."""
