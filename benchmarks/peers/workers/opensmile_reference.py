"""openSMILE, eGeMAPSv02: functionals and low-level descriptors of the signals in one .npz, written to another."""

import sys
import warnings

import numpy as np
import opensmile

warnings.filterwarnings("ignore")
LEVELS = {
    "functionals": opensmile.FeatureLevel.Functionals,
    "lld": opensmile.FeatureLevel.LowLevelDescriptors,
}
smiles = {
    name: opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=level)
    for name, level in LEVELS.items()
}
given = np.load(sys.argv[1])
answers = {}
for key in given.files:
    rate = int(key.rsplit("@", 1)[1])
    samples = given[key].astype(np.float32) / 32768
    for name, smile in smiles.items():
        answers[f"{key}/{name}"] = smile.process_signal(samples, rate).to_numpy()
np.savez(sys.argv[2], **answers)
