# Table 3 on toy faces: the same rows, each as different from the toy's HR network as the real one is from its own.
_base_ = './table3.py'
title = 'Table 3 on toy faces: a test of the command, no result'
toy = 'askd_mmdet::toy/arcface_ir18-cbam_toy.py'
data = 'faces'
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
