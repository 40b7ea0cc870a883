# A trial on folders of people, as `askd split identities` makes them.
_base_ = './demo-recognition.py'
title = 'Faces at 4x (112x112 from 28x28), IR-18-CBAM of an eighth width: verification'
columns = {'_delete_': True, 'Ver-ACC (%)': 'verification/accuracy', 'AUC (%)': 'verification/auc'}
tests = dict(_delete_=True, verification={})
data = None
