"""A network camera: GStreamer's RTSP server with a moving picture, H.264. Run by the system's Python, which has it.

``python3 rtsp_server.py PORT DELAY_S``: pictures wait for DELAY_S between the sensor and the network, as in a camera
with a deep buffer; its sender reports tell when they were taken, not when they were sent.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! queue name=buffer max-size-time=0 max-size-buffers=0 max-size-bytes=0 min-threshold-time={delay_ns} "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=500 ! rtph264pay name=pay0 pt=96 )"
)


def tell_when_taken(media):
    """Left alone, GStreamer's sender reports tell when a picture was sent."""
    elements = media.get_element().get_parent().iterate_elements()
    while (found := elements.next())[0] == Gst.IteratorResult.OK:
        if found[1].get_factory().get_name() == "rtpbin":
            found[1].set_property("rtcp-sync-send-time", False)


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE.format(delay_ns=round(float(sys.argv[2]) * 1e9)))
factory.set_shared(True)
factory.connect("media-configure", lambda _, media: media.connect("prepared", tell_when_taken))
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print("serving", flush=True)
GLib.MainLoop().run()
