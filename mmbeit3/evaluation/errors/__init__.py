"""Analyse the errors of a detector or segmentor: per-class scores, kinds of errors, best and worst images.

* ``page``: write the HTML page.
* ``predictions``: run the model over its test data.
* ``detection_matches``: match detections with objects and classify the false ones.
* ``detection_errors``: AP50 gained by fixing each kind of error.
* ``detection_ap``: AP of each class and object size.
"""
