//! Rings: creating, opening, inspecting, removing, and making handles.

use crate::apply;
use crate::argument::{losses_are_values, start, strategy, Timeout};
use crate::consumer::{Consumer, Reading};
use crate::failure::Failure;
use crate::observer::Observer;
use crate::place::Place;
use crate::producer::Producer;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use crate::status::RingStatus;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::endpoint::{Builder, ReadersError, ReceiveError, Resume};
use slipring::place::OpenError;
use slipring::schema::Schema;
use slipring::{ConsumerOptions, Deadline, ObserverOptions, ProducerOptions, Ring as Inner};
use std::path::PathBuf;

/// What a wait for readers came to.
pub fn readers_came(waited: Result<u32, ReadersError>) -> Result<Step<u32>, Failure> {
    match waited {
        Ok(readers) => Ok(Step::Done(readers)),
        Err(error @ ReadersError::TimedOut { .. }) => Step::or(error),
        Err(error) => Err(error.into()),
    }
}

/// Opens an object once it exists.
pub fn open_until<T: Send>(
    py: Python<'_>,
    place: &Place,
    timeout: Timeout,
    open: impl Fn(slipring::Place, Deadline) -> Result<T, OpenError> + Send + Sync,
) -> PyResult<T> {
    let turns = Slot::new("place", place.0.clone());
    turns.wait(py, timeout, |place, mode| {
        let deadline = mode
            .deadline()
            .unwrap_or(Deadline::after(Default::default()));
        match open(place.clone(), deadline) {
            Ok(opened) => Ok(Step::Done(opened)),
            Err(error @ OpenError::NotFound { .. }) => Step::or(error),
            Err(error) => Err(error.into()),
        }
    })
}

fn described<'py>(
    py: Python<'py>,
    mut builder: Builder,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<Builder> {
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: capacity_bytes, frame_align, max_readers, first_sequence, mode, stamps, huge_pages, populate, lock_memory);
    if let Some(patience) = settings.seconds("evict_after")? {
        builder = builder.evict_after(patience);
    }
    if let Some(text) = settings.take::<String>("schema")? {
        let schema: Schema = text
            .parse()
            .map_err(|error| PyValueError::new_err(format!("schema: {error}")))?;
        builder = builder.schema(schema);
    }
    settings.end()?;
    Ok(builder)
}

/// An open ring: one producer, any number of readers, messages in shared memory.
///
/// It is a context manager. Handles that were made of it stay open when it is closed.
#[pyclass(frozen, module = "slipring")]
pub struct Ring {
    slot: Slot<Inner>,
}

impl Ring {
    fn new(ring: Inner) -> Self {
        Self {
            slot: Slot::new("ring", ring),
        }
    }

    fn inner(&self, py: Python<'_>) -> PyResult<Inner> {
        self.slot.with(py, |ring| Ok(ring.clone()))
    }
}

fn schema_of(ring: &Inner) -> Option<(u32, String)> {
    ring.schema()
        .map(|schema| (schema.bytes(), schema.to_string()))
}

#[pymethods]
impl Ring {
    /// Creates a ring. The settings: `capacity_bytes`, `frame_align`, `max_readers`, `first_sequence`, `mode`, `schema` (a
    /// text as `Quote{time_ns:u64,bid:f64}`), `evict_after` (seconds), `stamps`, `huge_pages`, `populate`, `lock_memory`.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let builder = described(py, Inner::builder(place.0), settings)?;
        let ring = py.detach(|| builder.create()).map_err(Failure::from)?;
        Ok(Self::new(ring))
    }

    /// Opens the ring at a place, or creates it, with the settings of `create`. A ring that exists keeps its own:
    /// `differences` says which differ.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create_or_open<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let builder = described(py, Inner::builder(place.0), settings)?;
        let ring = py.detach(|| builder.create_or_open());
        Ok(Self::new(ring.map_err(Failure::from)?))
    }

    /// Creates a ring in the memory of this process, for its threads, with the settings of `create`.
    #[staticmethod]
    #[pyo3(signature = (**settings))]
    fn heap<'py>(py: Python<'py>, settings: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let builder = described(py, Inner::heap(), settings)?;
        Ok(Self::new(builder.create().map_err(Failure::from)?))
    }

    /// Opens a ring; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, Inner::open_until).map(Self::new)
    }

    /// Removes a ring, if no process is attached.
    #[staticmethod]
    fn remove(py: Python<'_>, place: Place) -> PyResult<()> {
        py.detach(|| Inner::remove(place.0))
            .map_err(|error| Failure::from(error).into())
    }

    /// Becomes the ring's one producer.
    #[pyo3(signature = (*, strategy = None, membarrier = false))]
    fn producer(
        &self,
        py: Python<'_>,
        strategy: Option<&Bound<'_, PyAny>>,
        membarrier: bool,
    ) -> PyResult<Producer> {
        let ring = self.inner(py)?;
        let options = ProducerOptions::new()
            .strategy(crate::argument::strategy(strategy)?)
            .membarrier(membarrier);
        let producer = ring.producer_with(options).map_err(Failure::from)?;
        Ok(Producer::new(
            producer,
            schema_of(&ring).map(|(_, text)| text),
        ))
    }

    /// Adds a lossless reader. `start` is "oldest", "latest" or a sequence; `on_loss` is "raise" or "value".
    #[pyo3(signature = (start = None, *, on_loss = "raise", strategy = None, membarrier = false))]
    fn consumer(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        on_loss: &str,
        strategy: Option<&Bound<'_, PyAny>>,
        membarrier: bool,
    ) -> PyResult<Consumer> {
        self.consume(py, None, start, on_loss, strategy, membarrier)
    }

    /// Adds a lossless reader whose place has a name: the next one of that name goes on behind the last message that was
    /// acknowledged. A message is acknowledged by the next call that receives, by `acknowledge`, and by `close`.
    #[pyo3(signature = (name, start = None, *, on_loss = "raise", strategy = None, membarrier = false))]
    fn durable_consumer(
        &self,
        py: Python<'_>,
        name: &str,
        start: Option<&Bound<'_, PyAny>>,
        on_loss: &str,
        strategy: Option<&Bound<'_, PyAny>>,
        membarrier: bool,
    ) -> PyResult<Consumer> {
        self.consume(py, Some(name), start, on_loss, strategy, membarrier)
    }

    /// Forgets the place of a durable consumer. Returns `False` if there was none.
    fn forget_cursor(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        let ring = self.inner(py)?;
        let forgotten = ring.forget_cursor(name).map_err(Failure::from)?;
        Ok(forgotten)
    }

    /// Adds a reader for which the producer never waits. `resume` says where it goes on after it was overtaken: "newest" or
    /// "oldest".
    #[pyo3(signature = (start = None, *, on_loss = "raise", strategy = None, resume = "newest"))]
    fn observer(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        on_loss: &str,
        strategy: Option<&Bound<'_, PyAny>>,
        resume: &str,
    ) -> PyResult<Observer> {
        let ring = self.inner(py)?;
        let resume = match resume {
            "newest" => Resume::Newest,
            "oldest" => Resume::Oldest,
            other => {
                return Err(PyValueError::new_err(format!(
                    "resume is {other:?}: \"newest\" or \"oldest\""
                )))
            }
        };
        let options = ObserverOptions::new()
            .strategy(crate::argument::strategy(strategy)?)
            .resume(resume);
        let values = losses_are_values(on_loss)?;
        let from = from(start)?;
        let observer = ring.observer_with(from, options).map_err(Failure::from)?;
        let schema = schema_of(&ring);
        Ok(Observer::new(observer, ring, values, schema))
    }

    /// Waits until a producer is attached.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn wait_for_producer(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |ring, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            match ring.wait_for_producer(deadline) {
                Ok(()) => Ok(Step::Done(())),
                Err(error @ ReceiveError::TimedOut) => Step::or(error),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Waits until so many readers are attached, and returns how many are.
    #[pyo3(signature = (readers, *, timeout = Timeout::NEVER))]
    fn wait_for_readers(&self, py: Python<'_>, readers: u32, timeout: Timeout) -> PyResult<u32> {
        self.slot.wait(py, timeout, |ring, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            readers_came(ring.wait_for_readers(readers, deadline))
        })
    }

    /// Returns sequences, the producer and the readers, without changing the ring.
    fn status(&self, py: Python<'_>) -> PyResult<RingStatus> {
        let status = self.inner(py)?.status().map_err(Failure::from)?;
        RingStatus::of(py, status)
    }

    /// The settings in which the ring differs from those that `create_or_open` asked for, as sentences.
    fn differences(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let ring = self.inner(py)?;
        Ok(ring.differences().iter().map(ToString::to_string).collect())
    }

    /// Whether the ring was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.inner(py)?.is_removed())
    }

    /// Where it lies.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<PathBuf> {
        Ok(self.inner(py)?.path().to_owned())
    }

    /// Its capacity.
    #[getter]
    fn capacity_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.inner(py)?.capacity_bytes())
    }

    /// The size of the largest message.
    #[getter]
    fn max_message_bytes(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.inner(py)?.max_message_bytes())
    }

    /// How many readers can have a row.
    #[getter]
    fn max_readers(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.inner(py)?.max_readers())
    }

    /// The identity of the ring.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<u128> {
        Ok(self.inner(py)?.id())
    }

    /// The text of its schema.
    #[getter]
    fn schema(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(schema_of(&self.inner(py)?).map(|(_, text)| text))
    }

    /// The numpy type of its messages, by its schema. Needs numpy.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.schema(py)? {
            None => Ok(None),
            Some(text) => {
                let numpy = py.import("slipring._numpy")?;
                Ok(Some(numpy.call_method1("dtype", (text,))?.unbind()))
            }
        }
    }

    /// Closes the ring. Its handles stay open.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.close(py, |_| Ok(()), drop).map(drop)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.inner(py) {
            Ok(ring) => format!("Ring({:?})", ring.path()),
            Err(_) => "Ring(closed)".into(),
        }
    }
}

fn from(given: Option<&Bound<'_, PyAny>>) -> PyResult<slipring::Start> {
    given.map_or(Ok(slipring::Start::Latest), start)
}

impl Ring {
    fn consume(
        &self,
        py: Python<'_>,
        name: Option<&str>,
        start: Option<&Bound<'_, PyAny>>,
        on_loss: &str,
        given: Option<&Bound<'_, PyAny>>,
        membarrier: bool,
    ) -> PyResult<Consumer> {
        let ring = self.inner(py)?;
        let options = ConsumerOptions::new()
            .strategy(strategy(given)?)
            .membarrier(membarrier);
        let values = losses_are_values(on_loss)?;
        let from = from(start)?;
        let consumer = match name {
            None => ring.consumer_with(from, options),
            Some(name) => ring.durable_consumer_with(name, from, options),
        };
        let consumer = consumer.map_err(Failure::from)?;
        let schema = schema_of(&ring);
        let reading = Reading::new(consumer, ring, name.is_some());
        Ok(Consumer::new(reading, values, schema))
    }
}
