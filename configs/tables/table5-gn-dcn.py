# Face detection on WIDER FACE by the stronger variant: group norm and deformable convolutions. The paper does not say
# of which variant its figures are; its HR network's are nearer to what TinaFace's authors have for batch norm.
_base_ = './table5.py'
title = 'Table 5: face detection on WIDER FACE, TinaFace-R50-CBAM with group norm and deformable convolutions'
hr = 'askd_mmdet::detection/tinaface_r50-gn-dcn-cbam_widerface.py'
rows = [_row for _row in _base_.rows if _row.method in ('Base', 'A-SKD')]
for _row in rows:
    _row.config = _row.config.replace('r50-bn', 'r50-gn-dcn')
    _row.pop('paper')
