# LR base, from 6x6 pixels.
_base_ = './arcface_ir18-cbam_faces.py'
_base_.train_dataloader.dataset.pipeline[-1].update(ratio=None, size=6)
_base_.val_dataloader.dataset.pipeline[-1].update(ratio=None, size=6)
_base_.test_dataloader.dataset.pipeline[-1].update(ratio=None, size=6)
