# shellcheck shell=bash
# The test machine: boot, reach, end. Sourced by vm-test and vm-shell, after common.sh.
# The cached disk stays clean: the machine writes to a temporary file that has no name (-snapshot). No network but ssh.

# A cached machine needs what runs it as well.
scripts/system-packages vm
vm_memory_mib=${ZPB_VM_MEMORY_MIB:-3072}
vm_machine_id=7a66732d707573682d6261636b757073
vm_boot_seconds=${ZPB_VM_BOOT_SECONDS:-900}

# However this shell ends, the machine ends with it; vm_at_exit may be defined anew.
vm_at_exit() { :; }
trap 'vm_end; vm_at_exit' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

vm_version() {
    case $1 in
    2.1 | 2.3) ;;
    *) fail "there is no test machine with OpenZFS $1" "say 2.1 or 2.3" ;;
    esac
}

# vm_boot VERSION FOLDER [DISK [KEPT]]: FOLDER gets console.log; DISK becomes the machine's second one, KEPT its third, and what
# is written to that one stays. Ends with this shell. The same machine id each time, as if its disks had been moved.
vm_boot() {
    local image folder=$2 disk=()
    image=$(scripts/vm-image "$1") || exit 1
    [ -z "${3:-}" ] || disk=(-drive "file=$3,if=virtio,format=raw,cache=unsafe")
    [ -z "${4:-}" ] || disk+=(-drive "file=$4,if=virtio,format=raw,cache=unsafe,snapshot=off")
    vm_key=$image/key
    vm_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir -p "$folder"
    say "booting Debian 12 with OpenZFS $1"
    # With SIGKILL for this shell the machine dies as well. A processor without AVX, as emulated vectors are slower than none;
    # every process at the same addresses, as code that was translated for one then serves the others.
    TMPDIR=$folder nice -n 19 ionice -c 3 setpriv --pdeathsig KILL qemu-system-x86_64 \
        -accel tcg,thread=multi -cpu qemu64,+aes,+pclmulqdq,+ssse3,+sse4.1,+sse4.2 -smp 2 -m "$vm_memory_mib" -nodefaults -no-reboot -display none \
        -kernel "$image/vmlinuz" -initrd "$image/initrd.img" -append "root=/dev/vda rw console=ttyS0 mitigations=off norandmaps systemd.machine_id=$vm_machine_id" \
        -serial "file:$folder/console.log" -monitor none -snapshot \
        -drive "file=$image/disk.img,if=virtio,format=raw,cache=unsafe" "${disk[@]}" -device virtio-rng-pci \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$vm_port-:22" -device virtio-net-pci,netdev=net,romfile= \
        </dev/null >"$folder/qemu.log" 2>&1 &
    vm_pid=$!
    vm_await "$folder"
}

vm_await() {
    local begun=$SECONDS
    until vm_run true </dev/null 2>/dev/null; do
        kill -0 "$vm_pid" 2>/dev/null || vm_fail "the machine ended while it booted" "$1"
        [ $((SECONDS - begun)) -lt "$vm_boot_seconds" ] ||
            vm_fail "the machine did not answer in $vm_boot_seconds s (ZPB_VM_BOOT_SECONDS allows more)" "$1"
        sleep 1
    done
    say "up after $((SECONDS - begun)) s"
}

vm_fail() {
    tail -n 60 "$2/console.log" "$2/qemu.log" >&2 || true
    fail "$1" "its console stands above, all of it in $2/console.log"
}

# vm_ssh [ssh's options] COMMAND
vm_ssh() {
    ssh -q -i "$vm_key" -p "$vm_port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
        -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=30 -o ServerAliveCountMax=20 \
        -c aes128-gcm@openssh.com root@127.0.0.1 "$@"
}

# As vm_ssh, behind this shell: a signal for it is not kept waiting by what runs in front.
vm_run() {
    vm_ssh "$@" <&0 &
    wait $!
}

vm_end() {
    [ -n "${vm_pid:-}" ] || return 0
    kill "$vm_pid" 2>/dev/null || true
    wait "$vm_pid" 2>/dev/null || true
    vm_pid=
}
