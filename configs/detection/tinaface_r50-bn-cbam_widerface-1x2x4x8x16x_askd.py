# One A-SKD student for many resolutions.
_base_ = './tinaface_r50-bn-cbam_widerface-16x_askd.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = [1, 2, 4, 8, 16]
