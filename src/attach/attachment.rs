//! An object of any form that this process has open: its memory, its description, its place, whether it is still
//! there.
//!
//! Layer 5. Roles and rows are in `roles`.

use super::difference::Difference;
use super::error::AttachError;
use super::origin::Origin;
use super::shown::shown;
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::schema::{Schema, SchemaMismatch};
use crate::segment::{
    self, bytes_inside, Canary, Files, Location, MappingOptions, OpenError, OtherBoot, Place,
    RemoveError, Segment, Trouble,
};
use crate::sync::Ordering::Relaxed;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An object this process has open. Cheap to clone; every handle keeps one, and so its mappings.
#[derive(Clone)]
pub(crate) struct Attachment {
    segment: Arc<Segment>,
    canary: Canary,
    origin: Option<Arc<Origin>>,
    differences: Option<Arc<[Difference]>>,
}

shown!([] Attachment, "Attachment", |object| form = object.form(), path = object.path());

/// The descriptors of a ring in anonymous memory, to be handed to another process.
#[derive(Debug)]
pub struct RingFiles<F = OwnedFd> {
    /// The stream.
    pub stream: F,
    /// Rows and bells.
    pub control: F,
    /// Lock bytes.
    pub lock: F,
}

impl Attachment {
    pub(crate) fn from_segment(segment: Segment) -> Self {
        Self {
            segment: Arc::new(segment),
            canary: Canary::of_this_process(),
            origin: None,
            differences: None,
        }
    }

    /// Marks the object as opened, not created.
    pub(super) fn with_differences(self, differences: Vec<Difference>) -> Self {
        Self {
            differences: (!differences.is_empty()).then(|| differences.into()),
            ..self
        }
    }

    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self {
            origin: Some(Arc::new(origin)),
            ..self
        }
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Opens an object that must be of a certain form.
    pub(crate) fn open_form(
        location: &Location,
        mapping: MappingOptions,
        expected: Form,
    ) -> Result<Self, OpenError> {
        let segment = segment::open(location, mapping);
        let segment = segment.map_err(|error| error.looked_for(expected))?;
        let object = Self::from_segment(segment);
        object.expect_form(expected)?;
        Ok(object)
    }

    /// Checks that it is of this form.
    pub(crate) fn expect_form(&self, expected: Form) -> Result<(), OpenError> {
        match self.form() {
            found if found == expected => self.expect_boot(),
            found => Err(OpenError::Form {
                path: self.path().to_owned(),
                found,
                expected,
            }),
        }
    }

    /// Checks that what it holds cannot have been torn by a crash of the machine.
    fn expect_boot(&self) -> Result<(), OpenError> {
        match self.segment.other_boot() {
            None => Ok(()),
            Some(OtherBoot { found, expected }) => Err(OpenError::OtherBoot {
                path: self.path().to_owned(),
                found,
                expected,
            }),
        }
    }

    /// Opens an object that must be of a certain form from descriptors that another process handed over.
    pub(crate) fn from_files_of(files: RingFiles, form: Form) -> Result<Self, OpenError> {
        let files = Files {
            stream: files.stream,
            control: Some(files.control),
            lock: Some(files.lock),
            named: false,
        };
        let mapping = MappingOptions::default();
        let object = Self::from_segment(segment::from_files(files, mapping)?);
        object.expect_form(form)?;
        Ok(object)
    }

    /// Removes what lies there, if it is of this form and not in use.
    pub(crate) fn remove_form(place: Place, form: Form) -> Result<(), RemoveError> {
        let location = place.location().map_err(OpenError::from)?;
        segment::remove(&location, Some(form), false)
    }

    pub(crate) fn form(&self) -> Form {
        self.description().form
    }

    /// How it differs from what its builder asked for, if it was opened by `create_or_open`.
    pub(crate) fn differences(&self) -> &[Difference] {
        self.differences.as_deref().unwrap_or_default()
    }

    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.description().geometry.capacity
    }

    /// How many bytes of memory the object takes in all, with those that lie inside it.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let geometry = self.description().geometry;
        let opaque = self.description().opaque;
        let opaque = opaque.map_or(0, |mark| u64::from(mark.bytes));
        let own = geometry.stream_bytes() + geometry.control_bytes() + opaque;
        let named = self.segment.files().is_some_and(|files| files.named);
        match Location::at(self.path()) {
            Ok(location) if named && !self.is_removed() => own + bytes_inside(&location),
            _ => own,
        }
    }

    pub(crate) fn max_message_bytes(&self) -> u32 {
        self.description().geometry.max_payload()
    }

    /// How long a consumer may hold one publish back; `None` without limit.
    pub(crate) fn evicts_after(&self) -> Option<Duration> {
        let geometry = self.description().geometry;
        geometry
            .evicts()
            .then(|| Duration::from_nanos(geometry.evict_after_ns))
    }

    /// Returns `true` if messages carry a stamp.
    pub(crate) fn stamps(&self) -> bool {
        self.description().geometry.stamped
    }

    /// How many processes can hold a row at once.
    pub(crate) fn max_readers(&self) -> u32 {
        self.description().geometry.rows
    }

    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.description().schema.as_ref()
    }

    pub(crate) fn id(&self) -> u128 {
        self.description().ring_id
    }

    pub(crate) fn path(&self) -> &Path {
        self.segment.path()
    }

    /// Returns `true` once the files are deleted. Asks the kernel.
    pub(crate) fn is_removed(&self) -> bool {
        self.segment.trouble() == Some(Trouble::Removed)
    }

    /// Returns `true` if this user may hold a row.
    pub(crate) fn may_consume(&self) -> bool {
        self.segment.may_use_rows()
    }

    /// The descriptors behind the object; `None` if it has none or this user may not open all of them.
    pub(crate) fn files(&self) -> Option<RingFiles<BorrowedFd<'_>>> {
        let files = self.segment.files()?;
        Some(RingFiles {
            stream: files.stream.as_fd(),
            control: files.control.as_ref()?.as_fd(),
            lock: files.lock.as_ref()?.as_fd(),
        })
    }

    /// Checks the schema of the object against the one a program expects.
    pub(crate) fn expect_schema(&self, here: &Schema) -> Result<(), OpenError> {
        let mismatch = match self.schema() {
            None => Some(SchemaMismatch::Missing),
            Some(schema) => schema.difference(here),
        };
        match mismatch {
            None => Ok(()),
            Some(mismatch) => Err(OpenError::Schema {
                path: self.path().to_owned(),
                mismatch,
            }),
        }
    }

    /// The schema of the object, which has to have one.
    pub(crate) fn any_schema(&self) -> Result<Schema, OpenError> {
        self.schema().cloned().ok_or_else(|| OpenError::Schema {
            path: self.path().to_owned(),
            mismatch: SchemaMismatch::Missing,
        })
    }

    /// Checks that the object has this schema, and that a `T` has the size that it says.
    pub(crate) fn expect_values<T>(&self, schema: &Schema) -> Result<(), OpenError> {
        self.expect_schema(schema)?;
        if schema.bytes() as usize == size_of::<T>() {
            return Ok(());
        }
        Err(OpenError::Schema {
            path: self.path().to_owned(),
            mismatch: SchemaMismatch::Size {
                schema: schema.bytes(),
                here: size_of::<T>(),
            },
        })
    }

    /// The process id that the last producer gave; 0 if there never was one.
    pub(crate) fn producer_pid(&self) -> u32 {
        self.segment.reader().producer().state.pid.load(Relaxed)
    }

    pub(crate) fn description(&self) -> &Description {
        self.segment.description()
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn canary(&self) -> Canary {
        self.canary
    }

    /// What happened to this process or to the files of the ring, if anything. System calls.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        if self.canary.forked() {
            return Some(Trouble::Forked);
        }
        self.segment.trouble()
    }

    /// What happened to the files of a ring, after a wait found trouble.
    pub(crate) fn trouble_found(&self) -> Trouble {
        // A truncated file may have grown again.
        self.trouble().unwrap_or(Trouble::Poisoned)
    }

    /// Checks that this process may use the ring: it is no fork, and the files are complete and not
    /// removed.
    pub(crate) fn undisturbed(&self) -> Result<(), AttachError> {
        self.whole(self.trouble())
    }

    pub(super) fn whole(&self, trouble: Option<Trouble>) -> Result<(), AttachError> {
        let path = || self.path().to_owned();
        match trouble {
            None => Ok(()),
            Some(Trouble::Forked) => Err(AttachError::Forked),
            Some(Trouble::Poisoned) => Err(AttachError::Poisoned { path: path() }),
            Some(Trouble::Removed) => Err(AttachError::Removed { path: path() }),
        }
    }

    /// Why attaching to something beside the files of this ring failed: the ring was removed, or else
    /// `error`.
    pub(crate) fn explain(&self, error: AttachError) -> AttachError {
        match self.undisturbed() {
            Err(trouble) => trouble,
            Ok(()) if self.is_unnamed() => AttachError::Removed {
                path: self.path().to_owned(),
            },
            Ok(()) => error,
        }
    }

    /// Returns `true` if no other file in the directory of this ring can be opened any more. That is so
    /// before [`is_removed`](Self::is_removed): a removal takes the name first and the files later.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.is_removed() || !self.segment.is_in_place()
    }

    /// Checks that an object that was just opened in the directory of this ring belongs to it, and not to
    /// another ring that has the name by now.
    pub(crate) fn in_place(&self) -> Result<(), OpenError> {
        if self.segment.is_in_place() {
            return Ok(());
        }
        Err(OpenError::not_found(self.path().to_owned()))
    }
}
