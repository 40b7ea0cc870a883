# HR: row 1x of table 5, and the teacher of the distilled experiments.
_base_ = [
    '../_base_/tinaface_r50-bn-cbam.py',
    '../_base_/wider_face.py',
    '../_base_/schedule_630e.py',
    '../_base_/runtime_detection.py',
]
