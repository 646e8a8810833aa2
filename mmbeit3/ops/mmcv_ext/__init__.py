"""Replacements for ``mmcv._ext``, mmcv's compiled ops, on CPU and CUDA.

``pip install onedl-mmcv`` builds mmcv in an environment without torch and leaves the compiled module out. ``import mmcv.ops``,
and with it all of mmdet, then fails. :func:`mmbeit3.openmmlab.provide_ops` supplies this module instead, with the ops that COCO
and ADE20K configs of mmdet and mmseg use. If mmcv has compiled ops, they are used unchanged.

=============================================  ==========================================
op                                             implementation
=============================================  ==========================================
``nms``                                        ``torchvision.ops.nms``; with offset 1 NumPy
``softnms``                                    NumPy, on the CPU as mmcv's
``roi_align_forward``, ``_backward``           torchvision's RoIAlign (average pooling)
``sigmoid_focal_loss_forward``, ``_backward``  PyTorch
``softmax_focal_loss_forward``, ``_backward``  PyTorch
``ms_deform_attn_forward``, ``_backward``      :func:`mmbeit3.ops.ms_deform_attn`
=============================================  ==========================================

Any other op can be imported and raises an error when it is called.
"""

from mmbeit3.ops.mmcv_ext.module import is_compiled, is_replaced

__all__ = ["is_compiled", "is_replaced"]
