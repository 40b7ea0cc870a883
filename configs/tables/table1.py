# Face verification on AgeDB-30, down-sampled.
title = 'Table 1: face verification on AgeDB-30, IR-50-CBAM trained on CASIA-WebFace'
columns = {'Ver-ACC (%)': 'verification/accuracy'}
hr = 'askd_mmdet::recognition/arcface_ir50-cbam_casia.py'
_methods = {
    'Base': '',
    'F-KD': '_fkd',
    'AT': '_at',
    'HORKD': '_horkd',
    'A-SKD': '_askd',
    'A-SKD+KD': '_askd-kd',
}
_paper = {
    '2x': (92.83, 93.05, 92.93, 93.13, 93.35, 93.58),
    '4x': (87.74, 87.72, 87.75, 88.08, 88.58, 89.15),
    '8x': (77.75, 77.85, 77.40, 78.27, 79.00, 79.45),
}
rows = [
    dict(resolution='1x', method='Base', config=hr, paper=(93.78,)),
    *(
        dict(resolution=ratio, method=method, config=hr.replace('.py', f'-{ratio}{ending}.py'), paper=(figure,))
        for ratio, figures in _paper.items()
        for (method, ending), figure in zip(_methods.items(), figures)
    ),
]
