//! The process's own numbers, read from `/proc` at each scrape; where there is no such folder, they are left out.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Adds them, under the names that every Prometheus client uses.
pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Some(stat) = read_stat() else { return Ok(()) };
        let cpu = ConstCounter::new(stat.cpu_seconds);
        one(&mut encoder, "process_cpu_seconds", "Time on the processor, in seconds", &cpu)?;
        let resident = ConstGauge::new(stat.resident_bytes);
        one(&mut encoder, "process_resident_memory_bytes", "Memory in use, in bytes", &resident)?;
        let reserved = ConstGauge::new(stat.virtual_bytes);
        one(&mut encoder, "process_virtual_memory_bytes", "Memory reserved, in bytes", &reserved)?;
        let threads = ConstGauge::new(stat.threads);
        one(&mut encoder, "process_threads", "Threads", &threads)?;
        // A process that may not be dumped may not always list its own files either.
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            let open = ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX));
            one(&mut encoder, "process_open_fds", "Open files and sockets", &open)?;
        }
        Ok(())
    }
}

fn one<M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    what: &str,
    metric: &M,
) -> Result<(), Error> {
    let encoder = encoder.encode_descriptor(name, what, None, metric.metric_type())?;
    metric.encode(encoder)
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    threads: i64,
}

/// `man 5 proc`: fields after the command's name in parentheses, which may itself hold spaces.
fn read_stat() -> Option<Stat> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // The first field after the name is number 3.
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<i64>().ok());
    let ticks = field(14)?.saturating_add(field(15)?);
    let per_second = i64::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100).max(1);
    let page = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds does not need 53 bits")]
    let cpu_seconds = ticks as f64 / per_second as f64;
    Some(Stat {
        cpu_seconds,
        resident_bytes: field(24)?.saturating_mul(page),
        virtual_bytes: field(23)?,
        threads: field(20)?,
    })
}
