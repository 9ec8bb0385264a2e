"""nginx: static files over HTTP, and RTMP; both also over TLS."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.process import HOST, Process, answers, free_port

CONFIGURATION = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
user {user};
events {{ worker_connections 256; }}
http {{
    access_log off;
    types {{
        application/vnd.apple.mpegurl m3u8;
        application/dash+xml mpd;
        video/mp2t ts;
        video/mp4 mp4 m4s;
    }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{http};
        listen {host}:{https} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {root};
        location /private/ {{
            auth_basic "private";
            auth_basic_user_file {folder}/users;
        }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
    }}
}}
stream {{
    server {{
        listen {host}:{rtmps} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        proxy_pass {host}:{rtmp};
    }}
}}
rtmp {{
    server {{
        listen {host}:{rtmp};
        application live {{
            live on;
            wait_key on;
            publish_notify on;
            idle_streams off;
        }}
    }}
}}
"""


class Nginx:
    """One nginx for the session.

    Args:
        folder: For its files; ``root`` in it is what it serves.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        self.authority = Authority(folder / "tls")
        self.http_port, self.rtmp_port = free_port(), free_port()
        self.https_port, self.rtmps_port = free_port(), free_port()
        users = folder / "users"
        users.write_text("alice:{PLAIN}wonder land\n")
        configuration = folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                root=self.root,
                host=HOST,
                http=self.http_port,
                https=self.https_port,
                rtmp=self.rtmp_port,
                rtmps=self.rtmps_port,
                certificate=self.authority.certificate,
                key=self.authority.key,
                user=pwd.getpwuid(os.getuid()).pw_name,
            )
        )
        ports = self.http_port, self.https_port, self.rtmp_port, self.rtmps_port
        self._process = Process(["nginx", "-p", folder, "-c", configuration], folder / "log")
        self._process.until(lambda: all(map(answers, ports)), "nginx")

    @property
    def http(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def rtmp(self) -> str:
        return f"rtmp://{HOST}:{self.rtmp_port}/live"

    @property
    def https(self) -> str:
        return f"https://{HOST}:{self.https_port}"

    @property
    def rtmps(self) -> str:
        return f"rtmps://{HOST}:{self.rtmps_port}/live"

    def stop(self) -> None:
        self._process.stop()
