//! The series of metrics that every request touches, counted in [`Cells`] and put together when somebody
//! reads. What the reader sees is what the counters and histograms of `prometheus` would show.

use crate::telemetry::cells::Cells;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Upper bounds of the latency histograms, in seconds (OpenTelemetry's advice for HTTP).
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Statuses with a cell of their own; the others are looked up.
const STATUSES: [u16; 32] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410,
    413, 414, 415, 422, 429, 431, 499, 500, 501, 502, 503, 504, 101,
];

/// Cells of a series: first how many requests fell into each bucket, the last one without an upper bound,
const SUM: usize = SECONDS.len() + 1;
/// then the sum of their seconds, then how many had each of [`STATUSES`].
const FIRST_STATUS: usize = SUM + 1;
const CELLS: usize = FIRST_STATUS + STATUSES.len();

/// Cell of each status; 0 for those without.
const CELL_OF: [u8; 600] = {
    let mut cells = [0; 600];
    let mut at = 0;
    while at < STATUSES.len() {
        cells[STATUSES[at] as usize] = (FIRST_STATUS + at) as u8;
        at += 1;
    }
    cells
};

/// Requests of one method and path.
#[derive(Debug)]
pub(super) struct Series {
    method: Box<str>,
    path: Box<str>,
    cells: Cells,
    /// Statuses that nobody expects.
    others: RwLock<BTreeMap<u16, AtomicU64>>,
}

impl Series {
    /// Counts one request.
    pub(super) fn count(&self, status: u16, seconds: f64) {
        let own = self.cells.own();
        let bucket = SECONDS.iter().position(|&bound| seconds <= bound);
        own.add(bucket.unwrap_or(SECONDS.len()));
        own.add_float(SUM, seconds);
        match CELL_OF.get(usize::from(status)) {
            Some(&cell @ 1..) => own.add(usize::from(cell)),
            _ => self.count_other(status),
        }
    }

    #[cold]
    fn count_other(&self, status: u16) {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = others.get(&status) {
            counter.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(others);
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others
            .entry(status)
            .or_default()
            .fetch_add(1, Ordering::Relaxed);
    }

    /// One counter for each status that was seen.
    fn counters(&self, into: &mut Vec<Metric>) {
        let mut push = |status: u16, count: u64| {
            let status = status.to_string();
            let labels = [
                ("method", &*self.method),
                ("path", &*self.path),
                ("status", &status),
            ];
            into.push(counter(&labels, count));
        };
        for (at, &status) in STATUSES.iter().enumerate() {
            let count = self.cells.total(FIRST_STATUS + at);
            if count > 0 {
                push(status, count);
            }
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        for (&status, count) in others.iter() {
            push(status, count.load(Ordering::Relaxed));
        }
    }

    /// The histogram, also before the first request.
    fn histogram(&self) -> Metric {
        let mut count = 0;
        let buckets = SECONDS.iter().enumerate().map(|(at, &bound)| {
            count += self.cells.total(at);
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(bound);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(count + self.cells.total(SECONDS.len()));
        histogram.set_sample_sum(self.cells.total_float(SUM));
        let mut metric = labelled(&[("method", &self.method), ("path", &self.path)]);
        metric.set_histogram(histogram);
        metric
    }
}

/// Method and path.
type Key = (Box<str>, Box<str>);

/// All series of requests: `requests_total` and `request_duration_seconds`. Series stay when a reload
/// drops their endpoint, and count on when one brings it back.
#[derive(Debug)]
pub(super) struct Requests {
    total: Desc,
    duration: Desc,
    shards: usize,
    series: Mutex<HashMap<Key, Arc<Series>>>,
}

impl Requests {
    /// No series yet.
    pub(super) fn new(namespace: &str, shards: usize) -> Result<Self, prometheus::Error> {
        let family = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            let name = format!("{namespace}_{name}");
            Desc::new(name, help.to_owned(), labels, HashMap::new())
        };
        Ok(Self {
            total: family(
                "requests_total",
                "Requests by method, route pattern and status.",
                &["method", "path", "status"],
            )?,
            duration: family(
                "request_duration_seconds",
                "Time from request head to end of answer.",
                &["method", "path"],
            )?,
            shards,
            series: Mutex::new(HashMap::new()),
        })
    }

    /// The series of a method and path, the same one each time.
    pub(super) fn series(&self, method: &str, path: &str) -> Arc<Series> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Series {
            method: method.into(),
            path: path.into(),
            cells: Cells::new(CELLS, self.shards),
            others: RwLock::default(),
        };
        let entry = series.entry((method.into(), path.into()));
        Arc::clone(entry.or_insert_with(|| Arc::new(fresh())))
    }
}

impl Collector for Requests {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.total, &self.duration]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series: Vec<_> = series.values().map(Arc::clone).collect();
        let mut counters = Vec::new();
        for one in &series {
            one.counters(&mut counters);
        }
        let histograms = series.iter().map(|one| one.histogram()).collect();
        vec![
            family(&self.total, MetricType::COUNTER, counters),
            family(&self.duration, MetricType::HISTOGRAM, histograms),
        ]
    }
}

/// Counters under one label whose values are a fixed list; each is shown from the start.
#[derive(Debug)]
pub(super) struct Words {
    desc: Desc,
    label: &'static str,
    words: Vec<&'static str>,
    cells: Cells,
}

impl Words {
    /// All at zero.
    pub(super) fn new(
        name: String,
        help: &str,
        label: &'static str,
        words: Vec<&'static str>,
        shards: usize,
    ) -> Result<Self, prometheus::Error> {
        let labels = vec![label.to_owned()];
        Ok(Self {
            desc: Desc::new(name, help.to_owned(), labels, HashMap::new())?,
            label,
            cells: Cells::new(words.len(), shards),
            words,
        })
    }

    /// Counts the word at this place of the list.
    pub(super) fn count(&self, at: usize) {
        self.cells.own().add(at);
    }
}

impl Collector for Words {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let words = self.words.iter().enumerate();
        let counters = words.map(|(at, word)| counter(&[(self.label, word)], self.cells.total(at)));
        vec![family(&self.desc, MetricType::COUNTER, counters.collect())]
    }
}

/// What the registry keeps of something that is counted elsewhere.
pub(super) struct Shown<T>(pub(super) Arc<T>);

impl<T: Collector> Collector for Shown<T> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

/// A metric with labels, which must stand in the order of their names.
fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

    fn text(registry: &Registry) -> String {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    }

    /// The same counted by the crate's own types.
    fn plain(requests: &[(&str, &str, u16, f64)], endpoints: &[(&str, &str)]) -> String {
        let registry = Registry::new();
        let counters = IntCounterVec::new(
            Opts::new(
                "x_requests_total",
                "Requests by method, route pattern and status.",
            ),
            &["method", "path", "status"],
        )
        .unwrap();
        let histograms = HistogramVec::new(
            HistogramOpts::new(
                "x_request_duration_seconds",
                "Time from request head to end of answer.",
            )
            .buckets(SECONDS.to_vec()),
            &["method", "path"],
        )
        .unwrap();
        registry.register(Box::new(counters.clone())).unwrap();
        registry.register(Box::new(histograms.clone())).unwrap();
        for (method, path) in endpoints {
            histograms.with_label_values(&[method, path]);
        }
        for (method, path, status, seconds) in requests {
            let status = status.to_string();
            counters
                .with_label_values(&[*method, *path, &*status])
                .inc();
            histograms
                .with_label_values(&[method, path])
                .observe(*seconds);
        }
        text(&registry)
    }

    #[test]
    fn shows_what_the_types_of_prometheus_would_show() {
        let endpoints = [
            ("GET", "/b/{id}"),
            ("GET", "/a\"\\\n"),
            ("POST", "/a"),
            ("", ""),
        ];
        let mut asked = Vec::new();
        for (at, seconds) in [0.0, 0.004, 0.005, 0.0051, 0.3, 10.0, 10.5, 1e9]
            .into_iter()
            .enumerate()
        {
            for status in [200, 404, 101, 418, 0, 599, 600, 999, 65_535] {
                let (method, path) = endpoints[(at + usize::from(status)) % 3];
                asked.push((method, path, status, seconds));
            }
        }
        let requests = Arc::new(Requests::new("x", 4).unwrap());
        let registry = Registry::new();
        registry
            .register(Box::new(Shown(Arc::clone(&requests))))
            .unwrap();
        assert_eq!(text(&registry), plain(&[], &[]));
        let series = endpoints.map(|(method, path)| requests.series(method, path));
        assert_eq!(text(&registry), plain(&[], &endpoints));
        for &(method, path, status, seconds) in &asked {
            let at = endpoints.iter().position(|&e| e == (method, path)).unwrap();
            series[at].count(status, seconds);
        }
        assert_eq!(text(&registry), plain(&asked, &endpoints));
    }

    #[test]
    fn each_expected_status_has_a_cell_of_its_own() {
        let mut cells: Vec<_> = STATUSES.iter().map(|&s| CELL_OF[usize::from(s)]).collect();
        cells.sort_unstable();
        cells.dedup();
        assert_eq!(cells.len(), STATUSES.len());
        assert_eq!(usize::from(cells[0]), FIRST_STATUS);
    }
}
