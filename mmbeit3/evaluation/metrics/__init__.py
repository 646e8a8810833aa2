"""Metrics for classification, VQA, captioning, retrieval and segmentation, and the functions they compute with.

* MMEngine metrics: ``label_accuracy``, ``vqa_score``, ``captions``, ``retrieval``, ``panoptic``, ``confusion``.
* Formulas: ``caption_math`` (BLEU, CIDEr-D), ``panoptic_quality`` (segment matching), ``chance`` (scores of guessing).
* Shared by metrics: ``reporting`` (log the number of scored samples), ``submission`` (files for evaluation servers).
"""
