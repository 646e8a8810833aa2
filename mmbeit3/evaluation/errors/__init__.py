"""Analyse the errors of a detector or segmentor: per-class scores, kinds of errors, best and worst images."""
