"""A stand-in for ``mmcv._ext``, mmcv's compiled operators.

``pip install onedl-mmcv`` builds without torch in sight and leaves the compiled module out; ``import mmcv.ops`` and with it all
of mmdet then fails. Where it is missing, :func:`provide` puts a module in its place that gives what COCO and ADE20K configs of
mmdet and mmseg touch, on CPU and CUDA. Where it is there it is used untouched.

=============================================  ==========================================
operator                                       made of
=============================================  ==========================================
``nms``                                        ``torchvision.ops.nms``; with offset 1 NumPy
``softnms``                                    NumPy, on the CPU as mmcv's
``roi_align_forward``, ``_backward``           torchvision's RoIAlign (average pooling)
``sigmoid_focal_loss_forward``, ``_backward``  PyTorch
``softmax_focal_loss_forward``, ``_backward``  PyTorch
``ms_deform_attn_forward``, ``_backward``      :func:`mmbeit3.ops.ms_deform_attn`
=============================================  ==========================================

Any other operator can be imported and raises an error when it is called.
"""

from mmbeit3.ops.mmcv_ext.module import is_compiled, is_stand_in, provide

__all__ = ["is_compiled", "is_stand_in", "provide"]
