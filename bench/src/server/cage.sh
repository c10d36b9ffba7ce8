# Makes the root that a server from a Debian package believes to live on, in a mount namespace of its own: programs
# from the package, `etc`, `var` and `mail` from HOME, which lies on a real disk. Then runs COMMAND in it.
# Usage: unshare --mount --pid --fork --kill-child sh -c THIS cage PACKAGES HOME COMMAND...
set -e
packages=$1 home=$2
shift 2
new=$home/root
mount -t tmpfs -o mode=755 cage "$new"
for sub in usr etc var mail proc dev run tmp; do mkdir "$new/$sub"; done
for link in bin lib lib64 sbin; do ln -s "usr/$link" "$new/$link"; done
chmod 1777 "$new/tmp"
mount --bind "$packages/usr" "$new/usr"
mount -o remount,bind,ro "$new/usr"
for sub in etc var mail; do mount --bind "$home/$sub" "$new/$sub"; done
ln -s /run "$new/var/run" 2>/dev/null || true
mount -t proc proc "$new/proc"
for device in null zero random urandom; do
    touch "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
done
exec chroot "$new" "$@"
