"""What handlers are told of a request, behind real web servers, and behind real proxies in front of those."""

import os
import re
import ssl
import subprocess

import pytest

import servers
from http_client import Exchange
from processes import accepts, free_port, wait_for

CLIENT = "127.0.0.2"  # not the proxies' own address, which is 127.0.0.1
PROXY = "127.0.0.1"

NGINX_PROXY = """\
daemon off;
pid "{run_dir}/front.pid";
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path "{run_dir}/front-body";
    proxy_temp_path "{run_dir}/front-proxy";
    fastcgi_temp_path "{run_dir}/front-fastcgi";
    scgi_temp_path "{run_dir}/front-scgi";
    uwsgi_temp_path "{run_dir}/front-uwsgi";
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate "{run_dir}/front.pem";
        ssl_certificate_key "{run_dir}/front.pem";
        location / {{
            proxy_pass http://{backend};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header Forwarded "for=$remote_addr;proto=$scheme;host=\\"$http_host\\"";
        }}
    }}
}}
"""

HAPROXY_PROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{tls_port} ssl crt {run_dir}/front.pem
    option forwardfor
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request add-header Forwarded for=%[src];proto=https;host=\\"%[req.hdr(host)]\\" if {{ ssl_fc }}
    http-request add-header Forwarded for=%[src];proto=http;host=\\"%[req.hdr(host)]\\" unless {{ ssl_fc }}
    default_backend site
backend site
    server site {backend}
"""


class Proxy:
    """A proxy in front of a site; it takes http and https, and adds what it knows of its client."""

    def __init__(self, kind, processes, backend):
        run_dir = processes.run_dir
        self.port, self.tls_port = free_port(), free_port()
        certificate = run_dir / "front.pem"
        if not certificate.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example", "-keyout", certificate,
                            "-out", run_dir / "certificate.pem"], check=True, capture_output=True, timeout=60)
            certificate.write_text(certificate.read_text() + (run_dir / "certificate.pem").read_text())
        self.trust = ssl.create_default_context(cafile=run_dir / "certificate.pem")
        template = {"nginx": NGINX_PROXY, "haproxy": HAPROXY_PROXY}[kind]
        config = run_dir / f"front-{kind}.conf"
        config.write_text(template.format(run_dir=run_dir, port=self.port, tls_port=self.tls_port, backend=backend))
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        arguments = {"nginx": ["/usr/sbin/nginx", "-e", "stderr", "-c", config] + user,
                     "haproxy": ["/usr/sbin/haproxy", "-db", "-f", config]}[kind]
        process = processes.start(f"front-{kind}", arguments)
        wait_for(f"{kind} on port {self.port}", lambda: process.poll() is not None or accepts("127.0.0.1", self.port))
        assert process.poll() is None


def info(port, target="/request-info.ashx", **options):
    """What a handler was told of a GET."""
    with Exchange(port, "GET", target, **options) as exchange:
        response = exchange.response()
    assert response.status == 200, response
    return servers.json.loads(response.body)


CLIENTS_OWN_WORD = [("X-Forwarded-For", "198.51.100.66"), ("X-Forwarded-Proto", "https"),
                    ("X-Forwarded-Host", "evil.example"),
                    ("Forwarded", "for=198.51.100.66;proto=https;host=evil.example")]
# Other fields, for which CGI's variables have the same names.
IN_DISGUISE = [*CLIENTS_OWN_WORD, ("X_Forwarded_For", "198.51.100.67"), ("X-Forwarded_Proto", "https"),
               ("X.Forwarded.Host", "evil.example")]

SITES = ["lighttpd-socket", "lighttpd-spawn", "apache-proxy", "apache-fcgid", "nginx", "haproxy"]


@pytest.mark.parametrize("name", SITES)
def test_each_server_tells_the_same_of_a_request(name, processes, installation):
    site = servers.ALL[name](processes, installation, ["trusted-proxies = 10.0.0.0/8"])
    target = "/request-info.ashx/tail%20x?a=1&A=%C3%A4&b"
    seen = info(site.port, target, host=f"Shop.Example:{site.port}", source=CLIENT, headers=[
        ("Accept", "text/*;q=0.3, text/plain;q=0.7, */*;q=0.5"), ("Accept-Language", "da, en-gb;q=0.8, en;q=0.7"),
        ("User-Agent", "test/1"), ("Referer", "http://shop.example/page?x"), ("Cookie", "a=1; b=2"),
        ("Content-Type", "text/plain; charset=UTF-8"), *CLIENTS_OWN_WORD])
    assert seen["httpMethod"] == seen["requestType"] == "GET"
    assert seen["url"] == f"http://shop.example:{site.port}{target}"
    assert seen["rawUrl"] == target
    assert (seen["filePath"], seen["pathInfo"]) == ("/request-info.ashx", "/tail x")
    assert seen["path"] == "/request-info.ashx/tail x"
    assert seen["applicationPath"] == "/"
    assert seen["appRelativeCurrentExecutionFilePath"] == "~/request-info.ashx"
    root = str(site.installation.document_root)
    assert seen["physicalPath"] == f"{root}/request-info.ashx"
    assert seen["physicalApplicationPath"].rstrip("/") == root
    assert seen["queryString"] == [["a", "1"], ["A", "\u00e4"], ["b", ""]]
    assert seen["acceptTypes"] == [{"value": "text/plain", "quality": 0.7}, {"value": "*/*", "quality": 0.5},
                                   {"value": "text/*", "quality": 0.3}]
    assert [item["value"] for item in seen["userLanguages"]] == ["da", "en-gb", "en"]
    assert seen["userAgent"] == "test/1"
    assert seen["urlReferrer"] == "http://shop.example/page?x"
    assert seen["cookies"] == [["a", "1"], ["b", "2"]]
    assert seen["contentEncoding"] == "utf-8"
    # What a client says of itself counts for nothing; but that there is a proxy is believed.
    assert (seen["userHostAddress"], seen["isLocal"], seen["isSecureConnection"]) == (CLIENT, False, False)
    assert (seen["isAuthenticated"], seen["user"]) == (False, {"name": "", "authenticationType": ""})
    assert info(site.port, source=CLIENT)["isLocal"]
    wait_for("the address in the access log",
             lambda: [line for line in site.access_lines() if f'remote="{CLIENT}"' in line])


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
@pytest.mark.parametrize("name", ["lighttpd-socket", "apache-proxy", "nginx", "haproxy"])
@pytest.mark.parametrize("fields", ["", "forwarded"], ids=["x-forwarded", "forwarded"])
def test_behind_a_trusted_proxy_each_server_tells_of_the_client(name, kind, fields, processes, installation):
    options = [f"trusted-proxies = {PROXY}"] + ([f"forwarded-headers = {fields}"] if fields else [])
    site = servers.ALL[name](processes, installation, options)
    proxy = Proxy(kind, processes, f"127.0.0.1:{site.port}")
    target = "/request-info.ashx?x=%41"
    for port, tls in ((proxy.port, None), (proxy.tls_port, proxy.trust)):
        for headers in ([], CLIENTS_OWN_WORD):
            seen = info(port, target, host=f"shop.example:{port}", source=CLIENT, headers=headers, tls=tls)
            assert seen["url"] == f"{'https' if tls else 'http'}://shop.example:{port}{target}"
            assert seen["isSecureConnection"] is (tls is not None)
            assert (seen["userHostAddress"], seen["userHostName"]) == (CLIENT, CLIENT)
    wait_for("the client's address in the access log",
             lambda: len([line for line in site.access_lines() if f'remote="{CLIENT}"' in line]) == 4)


def test_a_malformed_chain_of_a_trusted_proxy_leaves_its_own_address_and_is_logged(processes, installation):
    site = servers.ALL["nginx"](processes, installation, [f"trusted-proxies = {PROXY}"])
    seen = info(site.port, source=PROXY, headers=[("X-Forwarded-For", "198.51.100.1, evil")])
    assert (seen["userHostAddress"], seen["isLocal"]) == (PROXY, False)
    log = site.run_dir / "weft.log"
    wait_for("the line", lambda: "what it says of its client is malformed and counts for nothing: "
             "X_FORWARDED_FOR='198.51.100.1, evil'" in log.read_text())


def test_a_host_that_is_none_and_too_many_fields_are_400_with_their_causes(start):
    host = start("--max-fields", "5")
    assert host.get("/request-info.ashx", HTTP_HOST="a b").status == 400
    assert host.get("/request-info.ashx?a&b&c&d&e").status == 200
    assert host.get("/request-info.ashx?a&b&c&d&e&f").status == 400
    assert host.get("/request-info.ashx", HTTP_COOKIE="a=\x02").status == 400
    for cause in ("host_malformed", "too_many_fields", "cookie_malformed"):
        host.wait_for_access_line("status=400", f"cause={cause}")


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
@pytest.mark.parametrize("name", ["lighttpd-socket", "apache-proxy", "nginx", "haproxy"])
def test_fields_in_disguise_do_not_say_who_the_client_is(name, kind, processes, installation):
    site = servers.ALL[name](processes, installation, [f"trusted-proxies = {PROXY}"])
    proxy = Proxy(kind, processes, f"127.0.0.1:{site.port}")
    with Exchange(proxy.port, "GET", "/request-info.ashx", host="shop.example", source=CLIENT,
                  headers=IN_DISGUISE) as exchange:
        response = exchange.response()
    if response.status == 400:
        return  # the server takes no such name at all
    seen = servers.json.loads(response.body)
    told = (seen["userHostAddress"], seen["url"])
    if (name, kind) == ("lighttpd-socket", "haproxy"):
        # HAProxy lets them pass, lighttpd too: what cannot be told apart counts for nothing.
        assert told == (PROXY, "http://shop.example/request-info.ashx")
        assert not seen["isLocal"]
    else:
        assert told == (CLIENT, "http://shop.example/request-info.ashx")


@pytest.mark.parametrize("name", ["lighttpd-socket", "nginx", "haproxy"])
def test_a_proxy_that_comes_by_a_unix_socket_of_the_web_server_is_trusted_as_unix(name, processes, installation):
    web_socket = processes.run_dir / "web.sock"

    class OnUnixSocket(servers.ALL[name]):
        def write_config(self, config_name, **more):
            config = super().write_config(config_name, **more)
            text = config.read_text()
            for old, new in ((f"listen 127.0.0.1:{self.port};", f"\\g<0> listen unix:{web_socket};"),
                             (f"bind 127.0.0.1:{self.port}", f"\\g<0>\n    bind unix@{web_socket} mode 666"),
                             ('server.pid-file', f'$SERVER["socket"] == "{web_socket}" {{}}\n\\g<0>')):
                text = re.sub(re.escape(old), new, text)
            config.write_text(text)
            return config

    site = OnUnixSocket(processes, installation, ["trusted-proxies = unix"])
    proxy = Proxy("haproxy", processes, f"unix@{web_socket}")
    seen = info(proxy.tls_port, host="shop.example", source=CLIENT, headers=CLIENTS_OWN_WORD, tls=proxy.trust)
    assert (seen["userHostAddress"], seen["url"]) == (CLIENT, "https://shop.example/request-info.ashx")
    # Who comes to the web server by TCP is not trusted.
    seen = info(site.port, source=CLIENT, headers=CLIENTS_OWN_WORD)
    assert (seen["userHostAddress"], seen["url"]) == (CLIENT, "http://localhost/request-info.ashx")


AUTHENTICATION = {
    "lighttpd-socket": ('server.modules += ( "mod_auth", "mod_authn_file" )\n'
                        'auth.backend = "plain"\nauth.backend.plain.userfile = "{run_dir}/users"\n'
                        'auth.require = ( "/" => ( "method" => "basic", "realm" => "r", "require" => "valid-user" ) )\n'),
    "apache-proxy": ('LoadModule auth_basic_module "/usr/lib/apache2/modules/mod_auth_basic.so"\n'
                     'LoadModule authn_core_module "/usr/lib/apache2/modules/mod_authn_core.so"\n'
                     'LoadModule authn_file_module "/usr/lib/apache2/modules/mod_authn_file.so"\n'
                     'LoadModule authz_user_module "/usr/lib/apache2/modules/mod_authz_user.so"\n'
                     '<Location "/">\nAuthType Basic\nAuthName r\nAuthUserFile "{run_dir}/users"\n'
                     'Require valid-user\n</Location>\n'),
}


@pytest.mark.parametrize("name", sorted(AUTHENTICATION))
def test_the_user_is_whom_the_web_server_let_in(name, processes, installation):
    password = {"lighttpd-socket": "secret", "apache-proxy": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}[name]

    class WithUsers(servers.ALL[name]):
        def write_config(self, config_name, **more):
            (self.run_dir / "users").write_text(f"ada:{password}\n")
            config = super().write_config(config_name, **more)
            config.write_text(config.read_text() + AUTHENTICATION[name].format(run_dir=self.run_dir))
            return config

    site = WithUsers(processes, installation)
    seen = info(site.port, headers=[("Authorization", "Basic YWRhOnNlY3JldA==")])  # ada:secret
    assert (seen["isAuthenticated"], seen["user"]) == (True, {"name": "ada", "authenticationType": "Basic"})
    with Exchange(site.port, "GET", "/request-info.ashx", headers=[("Authorization", "Basic YWRhOng=")]) as exchange:
        assert exchange.response().status == 401
