"""The fine-tuning tasks of BEiT-3, one module per task: VQA, NLVR2, captioning, retrieval and classification."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
