#!/bin/busybox sh
# The first and only process of the guest. It loads the modules, then runs what comes in by the
# second serial port, one script at a time:
#   in   SECONDS BASE64(script)
#   out  EXIT-CODE:BASE64(standard output):BASE64(standard error)
set -eu
/bin/busybox --install -s /bin # leaves alone what is there already: ip, wg
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd/0 /dev/stdin
for module in /modules/*.ko; do
  insmod "$module"
done
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up

stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1
echo ready
while read -r seconds script; do
  printf %s "$script" | base64 -d >/run/script
  code=0
  timeout -s KILL "$seconds" sh /run/script </dev/null >/run/out 2>/run/err || code=$?
  printf '%d:%s:%s\n' "$code" "$(base64 -w 0 /run/out)" "$(base64 -w 0 /run/err)"
done
poweroff -f
