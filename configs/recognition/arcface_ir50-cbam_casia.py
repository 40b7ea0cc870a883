# HR: row 1x of table 1, and the teacher of the distilled experiments.
_base_ = [
    '../_base_/arcface_ir50-cbam.py',
    '../_base_/casia_agedb30.py',
    '../_base_/schedule_20e.py',
    '../_base_/runtime_recognition.py',
]
