//! What the system says of this process, under the names that every exporter has for it. Where it does not tell, there is no sample.

use std::fmt;

use rustix::time::{ClockId, clock_gettime};

use super::page::{ALONE, Page};

/// Writes them.
pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = std::time::Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default());
    page.counter(
        "process_cpu_seconds",
        "User and system time that the process has used",
        [(ALONE, cpu.as_secs_f64())],
    )?;
    let resident = resident_bytes().map(|bytes| (ALONE, bytes));
    page.gauge("process_resident_memory_bytes", "Memory of the process that is in the machine's own", resident)?;
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|fds| (ALONE, fds.count() as u64));
    page.gauge("process_open_fds", "Files and sockets that the process has open", open)
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_has_memory() {
        assert!(resident_bytes().expect("told") > 1 << 20);
    }
}
