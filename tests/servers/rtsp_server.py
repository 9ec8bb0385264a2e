#!/usr/bin/python3
"""GStreamer's RTSP server; run by the system's Python, which has its bindings.

rtsp_server.py PORT PIPELINE [--login USER PASSWORD] [--tls CERTIFICATE KEY]
"""

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402  (versions come first)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("port")
    words.add_argument("pipeline")
    words.add_argument("--login", nargs=2)
    words.add_argument("--tls", nargs=2)
    asked = words.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(asked.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(asked.pipeline)
    factory.set_eos_shutdown(True)
    if asked.login or asked.tls:
        server.set_auth(guard(asked.login, asked.tls))
        role = Gst.Structure.new_empty("viewer")
        role.set_value("media.factory.access", True)
        role.set_value("media.factory.construct", True)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_role_from_structure(role)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/film", factory)
    server.attach(None)
    GLib.MainLoop().run()


def guard(login: list[str] | None, tls: list[str] | None) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if login:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
    else:
        auth.set_default_token(token)
    if tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(*tls))
    return auth


main()
