//! A VMM's bus: maps guest addresses to devices, while the guest reprograms it.
//!
//! vCPU threads dispatch accesses without a lock, each through a `Reader` of its own. One thread moves the network card's BAR back and forth
//! and unplugs disks. The example shows two things that such a bus has to get right:
//!
//! * **No access is lost.** The new window is mapped before the old one is removed. Each change is one `replace`, which readers see whole, and
//!   between the two `synchronize` waits for every vCPU that may have read the old base.
//! * **No torn-down device is touched.** A disk is taken off the bus, `synchronize` waits for the accesses under way, and only then
//!   is the disk torn down.
//!
//! `cargo run --release -p vmaple-examples --bin bus`

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use vmaple::RangeMap;
use vmaple::map::Reader;

/// The addresses of the devices on the bus.
const SERIAL: u64 = 0x3f8_0000;
const DISK: u64 = 0xfeb0_0000;
const BARS: [u64; 3] = [0xc000_0000, 0xc000_8000, 0xfe00_0000];
const WINDOW: u64 = 0x1000;

/// A device, which counts the accesses that reach it, and those that reach it after it was torn down.
#[derive(Debug)]
struct Device {
    kind: Kind,
    hits: AtomicU64,
    is_torn_down: AtomicBool,
    late: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Answers where nothing else does.
    OpenBus,
    Serial,
    Nic,
    Disk,
}

impl Device {
    fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, hits: AtomicU64::new(0), is_torn_down: AtomicBool::new(false), late: AtomicU64::new(0) })
    }

    fn access(&self) {
        // Checked before and after, because a real access would use the device's memory until its end.
        let before = self.is_torn_down.load(Ordering::Acquire);
        self.hits.fetch_add(1, Ordering::Relaxed);
        if before || self.is_torn_down.load(Ordering::Acquire) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tear_down(&self) {
        self.is_torn_down.store(true, Ordering::Release);
    }
}

/// The guest's view of the machine: the bus, and the BAR register with the card's address.
struct Machine {
    bus: RangeMap<Arc<Device>>,
    bar: AtomicU64,
    is_off: AtomicBool,
}

/// The results of a vCPU's accesses.
#[derive(Debug, Default)]
struct Seen {
    accesses: u64,
    /// Accesses that no device answered, or the wrong one.
    lost: u64,
    /// Accesses to the disk's slot while it was empty, which is no error.
    empty_slots: u64,
}

/// Makes one access of the guest. The view protects the BAR that it read and the device that it reached until the next `view`.
fn dispatch(machine: &Machine, vcpu: &mut Reader<'_, Arc<Device>>, wanted: Kind, offset: u64, seen: &mut Seen) {
    let bus = vcpu.view();
    let base = match wanted {
        Kind::Nic => machine.bar.load(Ordering::Acquire),
        Kind::Disk => DISK,
        Kind::Serial | Kind::OpenBus => SERIAL,
    };
    seen.accesses += 1;
    match bus.lookup(base + offset) {
        Some(entry) => {
            let device = entry.value();
            device.access();
            match device.kind {
                kind if kind == wanted => {}
                Kind::OpenBus if wanted == Kind::Disk => seen.empty_slots += 1,
                _ => seen.lost += 1,
            }
        }
        None => seen.lost += 1,
    }
}

/// Runs a vCPU until the machine is switched off.
fn run_vcpu(machine: &Machine) -> Seen {
    let mut vcpu = machine.bus.reader();
    let mut seen = Seen::default();
    for i in 0_u64.. {
        for wanted in [Kind::Nic, Kind::Disk, Kind::Serial] {
            dispatch(machine, &mut vcpu, wanted, i * 8 % WINDOW, &mut seen);
        }
        if machine.is_off.load(Ordering::Relaxed) {
            break;
        }
    }
    seen
}

/// The results of a run.
#[derive(Debug)]
struct Report {
    seen: Vec<Seen>,
    moves: u64,
    /// All devices, unplugged ones included.
    devices: Vec<Arc<Device>>,
}

impl Report {
    fn lost(&self) -> u64 {
        self.seen.iter().map(|seen| seen.lost).sum()
    }

    fn late(&self) -> u64 {
        self.devices.iter().map(|device| device.late.load(Ordering::Relaxed)).sum()
    }

    fn hits(&self, kind: Kind) -> u64 {
        self.devices.iter().filter(|device| device.kind == kind).map(|device| device.hits.load(Ordering::Relaxed)).sum()
    }

    fn is_clean(&self) -> bool {
        self.lost() == 0 && self.late() == 0
    }

    fn print(&self) {
        println!("{:<10} {:>12} {:>12} {:>12}", "vCPU", "accesses", "empty slots", "lost");
        for (i, seen) in self.seen.iter().enumerate() {
            println!("{i:<10} {:>12} {:>12} {:>12}", seen.accesses, seen.empty_slots, seen.lost);
        }
        println!("\n{:<10} {:>12} {:>12} {:>12}", "device", "made", "hits", "too late");
        for kind in [Kind::OpenBus, Kind::Serial, Kind::Nic, Kind::Disk] {
            let made: Vec<_> = self.devices.iter().filter(|device| device.kind == kind).collect();
            let late: u64 = made.iter().map(|device| device.late.load(Ordering::Relaxed)).sum();
            println!("{:<10} {:>12} {:>12} {late:>12}", format!("{kind:?}"), made.len(), self.hits(kind));
        }
        println!("\nthe BAR was moved {} times: {} accesses lost, {} too late", self.moves, self.lost(), self.late());
    }
}

/// Puts a device into a window in one step, in place of what is there.
fn map(bus: &RangeMap<Arc<Device>>, base: u64, device: &Arc<Device>) {
    bus.write().replace(base..base + WINDOW, Arc::clone(device)).expect("the window is a range, and memory is there");
}

/// Runs the machine with `vcpus` vCPUs. The BAR moves `moves` times; at every fourth a disk is unplugged and another plugged in.
fn run(vcpus: usize, moves: u64) -> Report {
    let [open_bus, serial, nic] = [Kind::OpenBus, Kind::Serial, Kind::Nic].map(Device::new);
    let mut disk = Device::new(Kind::Disk);
    let mut devices = vec![Arc::clone(&open_bus), Arc::clone(&serial), Arc::clone(&nic), Arc::clone(&disk)];
    let machine = Machine { bus: RangeMap::new(), bar: AtomicU64::new(BARS[0]), is_off: AtomicBool::new(false) };
    // The open bus covers all addresses; the other devices replace parts of it.
    machine.bus.write().insert(.., Arc::clone(&open_bus)).expect("the bus is empty");
    for (base, device) in [(SERIAL, &serial), (BARS[0], &nic), (DISK, &disk)] {
        map(&machine.bus, base, device);
    }
    let seen = thread::scope(|threads| {
        let vcpus: Vec<_> = (0..vcpus).map(|_| threads.spawn(|| run_vcpu(&machine))).collect();
        let grace = || machine.bus.synchronize().expect("this thread is not pinned");
        let mut old = BARS[0];
        for (i, &new) in (0..moves).zip(BARS.iter().cycle().skip(1)) {
            map(&machine.bus, new, &nic);
            machine.bar.store(new, Ordering::Release);
            grace(); // no reader uses the old base any more
            map(&machine.bus, old, &open_bus);
            old = new;
            if i % 4 == 0 {
                map(&machine.bus, DISK, &open_bus);
                grace(); // no reader is in the disk any more
                disk.tear_down();
                disk = Device::new(Kind::Disk);
                devices.push(Arc::clone(&disk));
                map(&machine.bus, DISK, &disk);
            }
        }
        machine.is_off.store(true, Ordering::Relaxed);
        vcpus.into_iter().map(|vcpu| vcpu.join().expect("a vCPU does not panic")).collect()
    });
    Report { seen, moves, devices }
}

fn main() -> ExitCode {
    let report = run(2, 100);
    report.print();
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_nothing_comes_too_late() {
        let report = run(2, 40);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.devices.len(), 4 + 10);
    }

    #[test]
    fn every_access_reached_one_device() {
        let report = run(3, 10);
        let accesses: u64 = report.seen.iter().map(|seen| seen.accesses).sum();
        let hits: u64 = [Kind::OpenBus, Kind::Serial, Kind::Nic, Kind::Disk].into_iter().map(|kind| report.hits(kind)).sum();
        assert_eq!(accesses, hits);
        assert_eq!(report.hits(Kind::OpenBus), report.seen.iter().map(|seen| seen.empty_slots).sum());
    }

    #[test]
    fn an_access_after_the_teardown_is_noticed() {
        let device = Device::new(Kind::Disk);
        device.access();
        device.tear_down();
        device.access();
        assert_eq!((device.hits.load(Ordering::Relaxed), device.late.load(Ordering::Relaxed)), (2, 1));
    }

    #[test]
    fn a_card_that_is_not_where_its_bar_says_is_noticed() {
        let machine = Machine { bus: RangeMap::new(), bar: AtomicU64::new(BARS[0]), is_off: AtomicBool::new(true) };
        machine.bus.write().insert(.., Device::new(Kind::OpenBus)).unwrap();
        let seen = run_vcpu(&machine);
        // The card and the serial port are missed; an empty disk slot is no error.
        assert_eq!((seen.accesses, seen.lost, seen.empty_slots), (3, 2, 1));
    }
}
