"""mediapipe: the short-range face detector of its legacy solutions on one picture."""

import cv2
import mediapipe
import numpy as np
from loop import serve


def prepare(fixtures):
    rgb = cv2.cvtColor(np.load(fixtures["frame"]), cv2.COLOR_BGR2RGB)
    detector = mediapipe.solutions.face_detection.FaceDetection(model_selection=0)
    return {"detect": lambda: detector.process(rgb)}


serve(prepare)
