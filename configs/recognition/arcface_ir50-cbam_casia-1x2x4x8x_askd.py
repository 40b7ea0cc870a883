# One A-SKD student for many resolutions.
_base_ = './arcface_ir50-cbam_casia-4x_askd.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = [1, 2, 4, 8]
