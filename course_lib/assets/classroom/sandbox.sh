# Begun by unshare, as root of new namespaces: $0 is the room for files, then come the rights that
# are left, the paths that are shown, "", the paths that are hidden within them, "--", the command.
root=/mnt
rights=$1
shift
read_only() {
    mount -o remount,bind,ro "$1" 2>/dev/null || mount -o remount,bind,ro,nosuid,nodev "$1" ||
        mount -o remount,bind,ro,nosuid,nodev,noexec "$1"
}
mount -t tmpfs -o "mode=755,size=1m" none "$root"
mkdir -p "$root/proc" "$root/tmp" "$root/dev/shm" "$root/old"
mount -t tmpfs -o "mode=1777,size=$0,nr_inodes=20k" none "$root/tmp"
mount -t tmpfs -o "mode=1777,size=$0,nr_inodes=20k" none "$root/dev/shm"
for device in null zero full random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
while [ -n "$1" ]; do
    if [ -L "$1" ] && [ "${1%/*}" = "" ]; then
        ln -s "$(readlink "$1")" "$root$1"
    elif [ -d "$1" ]; then
        mkdir -p "$root$1"
        mount --rbind "$1" "$root$1"
        read_only "$root$1"
    elif [ -e "$1" ]; then
        mkdir -p "$root${1%/*}"
        : > "$root$1"
        mount --bind "$1" "$root$1"
        read_only "$root$1"
    fi
    shift
done
shift
while [ "$1" != "--" ]; do
    [ ! -d "$root$1" ] || mount -t tmpfs -o size=4k,mode=000,ro none "$root$1"
    shift
done
shift
mount -t proc proc "$root/proc"
cd "$root"
pivot_root . old
umount -l /old
mount -o remount,bind,ro /
cd /tmp
exec setpriv --no-new-privs --bounding-set="$rights" --inh-caps=-all "$@"
