"""OpenCV's Haar cascade: frontal faces in one picture."""

import cv2
import numpy as np
from loop import serve


def prepare(fixtures):
    cv2.setNumThreads(1)
    grey = cv2.cvtColor(np.load(fixtures["frame"]), cv2.COLOR_BGR2GRAY)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    return {"detect": lambda: cascade.detectMultiScale(grey, 1.1, 5, minSize=(60, 60))}


serve(prepare)
