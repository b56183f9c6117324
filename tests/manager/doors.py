#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The doors, by unmodified clients: sockets and their modes, TLS, SASL, ssh, a user's own daemon, roles, the
audit log. `tests/manager/doors.py BUILD [TEST...]`"""
import os
import pathlib
import pwd
import socket
import ssl
import subprocess
import time

import hostlib

TEMPLATES = {
    "ca": "cn = Test CA\nca\ncert_signing_key\n",
    "server": "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nencryption_key\n"
              "signing_key\n",
    "client": "cn = ann\ntls_www_client\nencryption_key\nsigning_key\n",
    "admin": "cn = root\ntls_www_client\nencryption_key\nsigning_key\n",
}


def pki(h):
    d = h.root / "pki"
    d.mkdir()
    for name, template in TEMPLATES.items():
        (d / f"{name}.info").write_text(template)
        h.run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", d / f"{name}key.pem")
    h.run("certtool", "--generate-self-signed", "--load-privkey", d / "cakey.pem", "--template", d / "ca.info",
          "--outfile", d / "cacert.pem")
    for name in ("server", "client", "admin"):
        h.run("certtool", "--generate-certificate", "--load-privkey", d / f"{name}key.pem", "--load-ca-certificate",
              d / "cacert.pem", "--load-ca-privkey", d / "cakey.pem", "--template", d / f"{name}.info", "--outfile",
              d / f"{name}cert.pem")
    other = h.root / "pki-admin"
    other.mkdir()
    for a, b in (("cacert", "cacert"), ("admincert", "clientcert"), ("adminkey", "clientkey")):
        (other / f"{b}.pem").write_bytes((d / f"{a}.pem").read_bytes())
    return d


def configure(h, more="", doors=""):
    d = h.root / "pki"
    if not d.exists():
        pki(h)
    conf = h.root / "etc/lodge"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "lodged.conf").write_text(
        f"[doors]\ntls = 127.0.0.1:16514\ntcp = 127.0.0.1:16509\ntls_cert = {d}/servercert.pem\n"
        f"tls_key = {d}/serverkey.pem\ntls_ca = {d}/cacert.pem\n{doors}\n{more}")
    sasl = h.root / "sasl"
    if not sasl.exists():
        sasl.mkdir()
        (sasl / "libvirt.conf").write_text(f"mech_list: digest-md5 scram-sha-256\nsasldb_path: {sasl}/db\n")
        h.run("saslpasswd2", "-p", "-c", "-a", "libvirt", "-f", sasl / "db", "-u", socket.gethostname(), "joe",
              input="pw")
    os.environ["SASL_CONF_PATH"] = str(sasl)
    h.restart()


def virsh(h, uri, *argv, ok=True, env=()):
    return h.run("env", "LC_ALL=C", *env, "virsh", "-q", "-c", uri, *argv, ok=ok)


def sockets(h):
    h.equal(oct(os.stat(h.socket).st_mode & 0o777), "0o660", "the socket's mode")
    ro = f"{h.socket}-ro"
    h.equal(oct(os.stat(ro).st_mode & 0o777), "0o666", "the read-only socket's mode")
    uri = f"qemu+unix:///system?socket={ro}"
    h.has(virsh(h, uri, "hostname"), socket.gethostname(), "reading")
    h.has(virsh(h, uri, "net-destroy", "default", ok=False), "read-only", "changing is refused")
    h.has(virsh(h, f"qemu+unix:///system?socket={h.socket}", "--readonly", "net-destroy", "default", ok=False), "",
          "virsh --readonly refuses by itself")
    log = (h.root / "var/log/lodge/audit.log").read_text()
    h.has(log, "denied uid 0 (root) from unix: network_destroy needs operate, has read", "the audit log tells")


def first_byte(pki, name):
    """What a TLS client hears first."""
    context = ssl.create_default_context(cafile=str(pki / "cacert.pem"))
    if name:
        context.load_cert_chain(pki / f"{name}cert.pem", pki / f"{name}key.pem")
    try:
        with socket.create_connection(("127.0.0.1", 16514), timeout=10) as s:
            return context.wrap_socket(s, server_hostname="localhost").recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


def tls(h):
    configure(h, "[identity CN=ann]\nrole = read\n")
    d = h.root / "pki"
    ann, root = f"qemu+tls://localhost/system?pkipath={d}", f"qemu+tls://localhost/system?pkipath={d}-admin"
    h.has(virsh(h, ann, "version"), "QEMU 9.2.0", "a certificate")
    h.has(virsh(h, ann, "net-destroy", "default", ok=False), "operate", "its role is read")
    virsh(h, root, "net-destroy", "default")
    virsh(h, root, "net-start", "default")
    h.has(virsh(h, root, "event", "--all", "--timeout", "1", ok=None), "timed out", "events over TLS")
    h.run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", d / "evilkey.pem")
    h.run("certtool", "--generate-self-signed", "--load-privkey", d / "evilkey.pem", "--template", d / "admin.info",
          "--outfile", d / "evilcert.pem")
    evil = h.root / "pki-evil"
    evil.mkdir()
    for a, b in (("cacert", "cacert"), ("evilcert", "clientcert"), ("evilkey", "clientkey")):
        (evil / f"{b}.pem").write_bytes((d / f"{a}.pem").read_bytes())
    virsh(h, f"qemu+tls://localhost/system?pkipath={evil}", "hostname", ok=False)
    h.equal(first_byte(d, "client"), b"\x01", "a certificate is confirmed by a byte")
    h.equal(first_byte(d, None), b"", "no certificate: no service")
    # a client that begins a handshake and falls silent holds nothing up
    quiet = [socket.create_connection(("127.0.0.1", 16514)) for _ in range(50)]
    h.has(virsh(h, ann, "hostname"), socket.gethostname(), "beside silent ones")
    for s in quiet:
        s.close()


def sasl(h):
    configure(h)
    auth = h.root / "auth.conf"
    host = socket.gethostname()
    auth.write_text(f"[credentials-good]\nauthname=joe\nusername=joe\nrealm={host}\npassword=pw\n"
                    f"[credentials-bad]\nauthname=joe\nusername=joe\nrealm={host}\npassword=no\n"
                    "[auth-libvirt-localhost]\ncredentials=good\n[auth-libvirt-127.0.0.1]\ncredentials=bad\n")
    env = [f"LIBVIRT_AUTH_FILE={auth}"]
    h.has(virsh(h, "qemu+tcp://localhost/system", "version", env=env), "QEMU 9.2.0", "TCP with SASL's layer")
    h.has(virsh(h, "qemu+tcp://localhost/system", "capabilities", env=env), "</capabilities>", "more than a buffer")
    h.has(virsh(h, "qemu+tcp://127.0.0.1/system", "version", ok=False, env=env), "authentication failed",
          "a wrong password")
    h.has((h.root / "var/log/lodge/audit.log").read_text(), "failed SASL authentication from 127.0.0.1",
          "the audit log tells")
    configure(h, "[identity joe]\nrole = read\n", doors="tls_sasl = true")
    uri = f"qemu+tls://localhost/system?pkipath={h.root}/pki"
    h.has(virsh(h, uri, "version", env=env), "QEMU 9.2.0", "SCRAM over TLS")
    h.has(virsh(h, uri, "net-destroy", "default", ok=False, env=env), "user joe may not", "the user's role")


def ssh(h):
    """libvirt's own command line for the far end, with a stand-in for ssh that runs it here."""
    fake = h.file("ssh", '#!/bin/sh\nfor last; do :; done\nexport LODGE_SOCKET=' + str(h.socket) + '\nexec sh -c "$last"\n')
    fake.chmod(0o755)
    path = f"PATH={h.build}/src/prog:{os.environ['PATH']}"
    env = [path]
    uri = f"qemu+ssh://localhost/system?command={fake}"
    h.has(virsh(h, uri, "hostname", env=env), socket.gethostname(), "virt-ssh-helper")
    h.has(virsh(h, uri, "event", "--all", "--timeout", "1", ok=None, env=env), "timed out", "events through it")
    uri = f"qemu+ssh://localhost/system?command={fake}&proxy=netcat&socket={h.socket}"
    h.has(virsh(h, uri, "hostname"), socket.gethostname(), "netcat")
    h.has(h.run(h.build / "src/prog/virt-ssh-helper", "nonsense", ok=False), "Usage", "a URI that is none")


def session(h):
    """A client starts the user's own daemon, which ends when nobody needs it."""
    user = pwd.getpwnam("nobody")
    home = h.root / "home"
    for d in (home, home / "run"):
        d.mkdir()
        os.chown(d, user.pw_uid, user.pw_gid)
        d.chmod(0o700)
    (h.root / "bin").mkdir()
    wrapper = h.file("bin/libvirtd", f'#!/bin/sh\necho "$@" >{home}/argv\nexec {h.build}/src/prog/lodged --timeout=2\n')
    wrapper.chmod(0o755)
    argv = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "env",
            f"HOME={home}", f"XDG_RUNTIME_DIR={home}/run", f"XDG_CONFIG_HOME={home}/c", f"XDG_DATA_HOME={home}/d",
            f"XDG_CACHE_HOME={home}/e", f"LIBVIRTD_PATH={wrapper.parent}", "LC_ALL=C", "virsh", "-q", "-c",
            "qemu:///session?mode=legacy"]
    h.has(h.run(*argv, "version"), "QEMU 9.2.0", "a daemon is started")
    h.equal((home / "argv").read_text().strip(), "--timeout=120", "as libvirt starts one")
    h.equal(h.run(*argv, "list", "--all").strip(), "", "it serves")
    sock = home / "run/libvirt/libvirt-sock"
    h.equal(oct(sock.stat().st_mode & 0o777), "0o600", "for its user only")
    h.until(lambda: not sock.exists(), "it ends when it is idle", 10)


def roles(h):
    """Local users by groups."""
    configure(h, doors="mode = 0666\nadmin_groups = root\noperate_groups = games\nothers = none\n")
    uri = f"qemu+unix:///system?socket={h.socket}"

    def as_user(group, *argv, ok=True):
        return h.run("setpriv", "--reuid", "65534", "--regid", "65534", *(["--groups", group] if group else
                     ["--clear-groups"]), "env", "HOME=/tmp", "LC_ALL=C", "virsh", "-q", "-c", uri, *argv, ok=ok)

    h.has(as_user(None, "hostname", ok=False), "may not", "a user without a role")
    virsh(h, uri, "hostname")
    configure(h, doors="mode = 0666\nothers = read\nadmin_groups = root\n")
    h.has(as_user(None, "hostname"), socket.gethostname(), "others may read")
    h.has(as_user(None, "net-destroy", "default", ok=False), "operate", "and not more")
    configure(h)


def configuration(h):
    """Mistakes in the file are told by name, and nothing starts."""
    conf = h.root / "bad.conf"
    for text, part in (("[doors]\nsokket = x\n", "sokket"), ("[door]\n", "[door]"), ("[doors]\nmode = 999\n", "mode"),
                       ("[doors]\nothers = king\n", "king"), ("[identity x]\nrole = king\n", "king"),
                       ("[doors\n", "bad.conf")):
        conf.write_text(text)
        out = h.run(h.build / "src/prog/lodged", "--root", h.root / "other", "-f", conf, ok=False)
        h.has(out, part, f"{text!r}")
    out = h.run(h.build / "src/prog/lodged", "--root", h.root, "--socket", h.root / "s2", ok=False)
    h.check("lodged" in out and h.daemon.poll() is None, "a second daemon on the same state")


def notify(h):
    """systemd's protocols: told when it is ready, sockets from outside."""
    path = h.root / "notify"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    s.settimeout(20)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(h.root / "active"))
    listener.listen(10)
    script = (f"import os\nos.dup2({listener.fileno()}, 3)\nos.set_inheritable(3, True)\n"
              "os.environ['LISTEN_PID'] = str(os.getpid())\nos.environ['LISTEN_FDS'] = '1'\n"
              f"os.execv('{h.build}/src/prog/lodged', ['lodged', '--root', '{h.root}/activated'])")
    p = subprocess.Popen(["/usr/bin/python3", "-c", script], env=dict(os.environ, NOTIFY_SOCKET=str(path)),
                         pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    h.equal(s.recv(100), b"READY=1", "ready")
    h.has(virsh(h, f"qemu+unix:///system?socket={h.root}/active", "hostname"), socket.gethostname(), "its socket")
    p.terminate()
    h.equal(s.recv(100), b"STOPPING=1", "stopping")
    h.equal(p.wait(timeout=20), 0, "exit status")


if __name__ == "__main__":
    hostlib.main([sockets, tls, sasl, ssh, session, roles, configuration, notify])
