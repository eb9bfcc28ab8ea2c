//! Package managers: apt, dpkg, pip.

use crate::require;
use crate::support::{Case, Lane};

/// Builds a package that does to owners what Debian packages do: files of other users in the archive, a service user,
/// `chown`, `install -o`, `dpkg-statoverride`, `setpriv`-like changes of user in its scripts.
const BUILD: &str = r"
set -e
mkdir -p /build/shedpkg/DEBIAN /build/shedpkg/usr/bin /build/shedpkg/etc/shedpkg /build/shedpkg/var/lib/shedpkg
cd /build/shedpkg
cat >DEBIAN/control <<END
Package: shedpkg
Version: 1.0
Architecture: all
Maintainer: Tests <tests@example.invalid>
Description: package of the tests
END
echo /etc/shedpkg/conf >DEBIAN/conffiles
echo setting=1 >etc/shedpkg/conf
printf '#!/bin/sh\necho shedpkg runs\n' >usr/bin/shedpkg
chown root:shadow usr/bin/shedpkg
chmod 2755 usr/bin/shedpkg
chown -R www-data:www-data var/lib/shedpkg
cat >DEBIAN/preinst <<'END'
#!/bin/sh
set -e
useradd --system --home-dir /var/lib/shedpkg --shell /usr/sbin/nologin shedpkg
END
cat >DEBIAN/postinst <<'END'
#!/bin/sh
set -e
mkdir -p /var/log/shedpkg
chown shedpkg:adm /var/log/shedpkg
chgrp -R adm /etc/shedpkg
chown -h nobody:nogroup /etc/shedpkg/conf
install -d -o shedpkg -g shedpkg -m 0750 /var/lib/shedpkg/state
dpkg-statoverride --update --add shedpkg adm 0640 /etc/shedpkg/conf
runuser -u shedpkg -- sh -c 'echo as $(id -un) >/var/lib/shedpkg/state/who'
ldconfig
END
chmod 755 DEBIAN/preinst DEBIAN/postinst
dpkg-deb --build /build/shedpkg /build/shedpkg.deb >/dev/null
";

/// Owner and mode of what the package has made.
const LOOK: &str = "shedpkg; stat -c '%U:%G %a %n' /usr/bin/shedpkg /var/lib/shedpkg /var/log/shedpkg /etc/shedpkg/conf /var/lib/shedpkg/state; cat /var/lib/shedpkg/state/who";

fn expected() -> &'static str {
    match Lane::current() {
        // Every file is root's; who changes to another user goes on as root. Modes are as everywhere.
        Lane::Single => {
            "shedpkg runs\nroot:root 2755 /usr/bin/shedpkg\nroot:root 755 /var/lib/shedpkg\nroot:root 755 /var/log/shedpkg\nroot:root 640 /etc/shedpkg/conf\nroot:root 750 /var/lib/shedpkg/state\nas root"
        }
        Lane::Subids | Lane::Root => {
            "shedpkg runs\nroot:shadow 2755 /usr/bin/shedpkg\nwww-data:www-data 755 /var/lib/shedpkg\nshedpkg:adm 755 /var/log/shedpkg\nshedpkg:adm 640 /etc/shedpkg/conf\nshedpkg:shedpkg 750 /var/lib/shedpkg/state\nas shedpkg"
        }
    }
}

#[test]
fn dpkg_installs_and_removes() {
    require!(userns, image "debian");
    Case::image("debian")
        .sh(BUILD)
        .ok()
        .sh("dpkg -i /build/shedpkg.deb")
        .ok()
        .sh(LOOK)
        .stdout(expected())
        .sh("dpkg --verify shedpkg; dpkg --audit; dpkg -s shedpkg | grep ^Status")
        .stdout("Status: install ok installed")
        .sh("dpkg --purge shedpkg && test ! -e /usr/bin/shedpkg")
        .ok();
}

#[test]
fn apt_installs_a_local_package() {
    require!(userns, image "debian");
    Case::image("debian")
        .sh(BUILD)
        .ok()
        .sh("cd /build && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ./shedpkg.deb 2>&1")
        .ok()
        .sh(LOOK)
        .stdout(expected())
        .sh("DEBIAN_FRONTEND=noninteractive apt-get remove -y --purge shedpkg && test ! -e /usr/bin/shedpkg")
        .ok();
}

/// A repository of files: apt fetches by its own means, as its own user where there is one.
#[test]
fn apt_updates_from_a_repository() {
    require!(userns, image "debian");
    let script = r#"
set -e
cd /build
size=$(stat -c %s shedpkg.deb) hash=$(sha256sum shedpkg.deb | cut -d' ' -f1)
{ cat shedpkg/DEBIAN/control; echo "Filename: ./shedpkg.deb"; echo "Size: $size"; echo "SHA256: $hash"; } >Packages
chmod -R a+rX /build
rm -f /etc/apt/sources.list.d/* /etc/apt/sources.list
echo 'deb [trusted=yes] copy:/build ./' >/etc/apt/sources.list.d/local.list
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y shedpkg
shedpkg
"#;
    let (_, output) = Case::image("debian").sh(BUILD).ok().sh(script).output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("shedpkg runs") && !text.contains("setgroups") && !text.contains("seteuid"),
        "{text}"
    );
}

#[test]
fn pip_installs_a_local_package() {
    require!(userns, image "debian");
    let script = r#"
set -e
mkdir -p /src/shedmodule
cd /src
cat >setup.py <<END
from setuptools import setup
setup(name="shedmodule", version="1.0", packages=["shedmodule"], entry_points={"console_scripts": ["shedmodule=shedmodule:main"]})
END
printf 'def main():\n    print("shedmodule runs")\n' >shedmodule/__init__.py
pip install --quiet --no-index --no-build-isolation --break-system-packages --root-user-action=ignore . 2>&1
shedmodule
pip uninstall --quiet --yes --break-system-packages --root-user-action=ignore shedmodule
test ! -e /usr/local/bin/shedmodule
"#;
    Case::image("debian").sh(script).stdout("shedmodule runs");
}

#[test]
fn git_clones_and_commits() {
    require!(userns, image "debian");
    let script = r"
set -e
git -c init.defaultBranch=main init -q /origin
cd /origin
git config user.email t@example.invalid
git config user.name t
echo one >file
git add . && git commit -qm one
git clone -q /origin /clone
cd /clone && git log --format=%s && cat file
";
    Case::image("debian").sh(script).stdout("one\none");
}
