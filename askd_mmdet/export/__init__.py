"""A trained network without torch: ONNX files, and the small runner for them.

`askd_mmdet.export.runner` needs numpy, OpenCV, Pillow and onnxruntime alone, so nothing is imported here.
"""
