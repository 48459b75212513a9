#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the guest. It loads the modules, then runs what comes in by the control port,
# one script at a time:
#   in   a mark, the lines of the script, the mark again
#   out  what the script printed, the mark and the exit code
# What a script leaves in the background must have its output elsewhere.
set -eu
/bin/busybox --install -s /bin
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

port=/dev/vport0p1 # a pipe with flow control: a serial line loses characters on a busy machine
until [ -e "$port" ]; do sleep 0.1; done
exec 3<>"$port" # it can be opened but once
exec <&3 >&3 3>&-
echo ready
while IFS= read -r mark; do
  script=
  while IFS= read -r line && [ "$line" != "$mark" ]; do
    script="$script$line
"
  done
  code=0
  out=$(eval "$script" </dev/null 2>&1) || code=$?
  printf '%s\n%s %d\n' "$out" "$mark" "$code"
done
poweroff -f
