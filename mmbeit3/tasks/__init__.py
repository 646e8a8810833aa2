"""What BEiT-3 is fine-tuned for: answering, reasoning, describing, retrieving, classifying; a file each, none knows another."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
