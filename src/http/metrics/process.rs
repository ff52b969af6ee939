//! Metrics of the process under the names that exporters share. A value that the system does not provide has no sample.

use std::fmt;

use rustix::time::{ClockId, clock_gettime};

use super::writer::{MetricsWriter, NO_LABELS};

/// Writes the metrics of the process.
pub(super) fn write(page: &mut MetricsWriter<'_>) -> fmt::Result {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = std::time::Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default());
    page.counter(
        "process_cpu_seconds",
        "User and system time that the process has used",
        [(NO_LABELS, cpu.as_secs_f64())],
    )?;
    let resident = resident_bytes().map(|bytes| (NO_LABELS, bytes));
    page.gauge("process_resident_memory_bytes", "Resident memory of the process", resident)?;
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|fds| (NO_LABELS, fds.count() as u64));
    page.gauge("process_open_fds", "Open files and sockets of the process", open)
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
