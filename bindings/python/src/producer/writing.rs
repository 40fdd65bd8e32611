//! The state of a producer: free, or lending space.

use crate::failure::Failure;
use crate::lend::Lending;
use crate::slot::{Mode, Step};
use crate::watched::Watched;
use pyo3::exceptions::{PyBufferError, PyValueError};
use self_cell::{self_cell, MutBorrow};
use slipring::endpoint::{Claim as Space, PublishError, TryPublishError};
use slipring::{Deadline, Producer as Inner};

/// What is borrowed of a producer while it is lent.
enum Loan<'p> {
    Space(Space<'p>),
    /// Committed.
    Done,
}

self_cell!(
    struct Lent {
        owner: MutBorrow<Watched<Inner>>,

        #[not_covariant]
        dependent: Loan,
    }
);

enum Place {
    Free(Watched<Inner>),
    Lent(Lent, Lending),
    /// While it changes.
    Nowhere,
}

/// The state of a producer: free, or lending space.
pub struct Writing(Place);

impl Writing {
    /// A producer that has lent nothing.
    pub fn new(producer: Inner) -> Self {
        Self(Place::Free(Watched::new(producer)))
    }

    /// The producer, if it has lent nothing.
    pub fn into_inner(self) -> Option<Inner> {
        match self.0 {
            Place::Free(watched) => watched.into_inner(),
            _ => None,
        }
    }

    /// Gives up a claim, if there is one.
    pub fn give_up(&mut self) -> Result<(), Failure> {
        let lending = match &self.0 {
            Place::Lent(_, lending) => lending.clone(),
            _ => return Ok(()),
        };
        self.end(&lending, None).map(drop)
    }

    /// The producer with its descriptor, where nothing is lent.
    pub fn watched(&mut self) -> Result<&mut Watched<Inner>, Failure> {
        match &mut self.0 {
            Place::Free(watched) => Ok(watched),
            Place::Lent(..) => Err(PyBufferError::new_err(
                "this producer has lent space: commit or abort the claim first",
            )
            .into()),
            Place::Nowhere => {
                Err(PyValueError::new_err("this producer was lost in an earlier error").into())
            }
        }
    }

    /// The producer, where nothing is lent.
    pub fn free(&mut self) -> Result<&mut Inner, Failure> {
        self.watched()?.get()
    }

    /// Lends space, as a step of a wait.
    pub fn claim(
        &mut self,
        len: usize,
        deadline: Option<Deadline>,
    ) -> Result<Step<Lending>, Failure> {
        self.watched()?;
        let Place::Free(watched) = std::mem::replace(&mut self.0, Place::Nowhere) else {
            return self.watched().and(Step::or(PublishError::Forked));
        };
        let claimed = Lent::try_new_or_recover(MutBorrow::new(watched), |owner| {
            let producer = owner
                .borrow_mut()
                .get()
                .map_err(|_| TryPublishError::Poisoned)?;
            let claimed = match deadline {
                None => producer.try_claim(len),
                Some(deadline) => producer.claim_until(len, deadline).map_err(as_try),
            };
            claimed.map(Loan::Space)
        });
        match claimed {
            Ok(mut lent) => {
                let lending = lent.with_dependent_mut(|_, loan| match loan {
                    Loan::Space(space) => Lending::of_space(space),
                    Loan::Done => Lending::of_space(&mut []),
                });
                self.0 = Place::Lent(lent, lending.clone());
                Ok(Step::Done(lending))
            }
            Err((owner, error)) => {
                self.0 = Place::Free(owner.into_inner());
                full_is_not_yet(error)
            }
        }
    }

    /// Ends a claim, if it is this one: commits so many bytes, or nothing.
    pub fn end(
        &mut self,
        claim: &Lending,
        commit: Option<Option<usize>>,
    ) -> Result<Option<u64>, Failure> {
        match &self.0 {
            Place::Lent(_, lending) if lending.is(claim) => lending.end()?,
            _ => return Ok(None),
        }
        let Place::Lent(mut lent, _) = std::mem::replace(&mut self.0, Place::Nowhere) else {
            return Ok(None);
        };
        let sequence = lent.with_dependent_mut(|_, loan| {
            let Loan::Space(space) = std::mem::replace(loan, Loan::Done) else {
                return None;
            };
            Some(match commit? {
                None => space.commit(),
                Some(first) => space.commit_first(first),
            })
        });
        self.0 = Place::Free(lent.into_owner().into_inner());
        Ok(sequence)
    }
}

/// The error of a call that waited as that of one that did not.
pub fn as_try(error: PublishError) -> TryPublishError {
    match error {
        PublishError::TooLarge { len, max } => TryPublishError::TooLarge { len, max },
        PublishError::WrongSize { len, expected } => TryPublishError::WrongSize { len, expected },
        PublishError::TimedOut { row } => TryPublishError::Full { row },
        PublishError::BatchFull => TryPublishError::BatchFull,
        PublishError::Behind { next } => TryPublishError::Behind { next },
        PublishError::TooFar { last } => TryPublishError::TooFar { last },
        PublishError::Poisoned => TryPublishError::Poisoned,
        PublishError::Removed => TryPublishError::Removed,
        // Another version of the library may know more.
        _ => TryPublishError::Forked,
    }
}

/// To a call that waits, a full ring is nothing but a reason to wait.
pub fn full_is_not_yet<R>(error: TryPublishError) -> Result<Step<R>, Failure> {
    match error {
        TryPublishError::Full { row } => Step::or(PublishError::TimedOut { row }),
        error => Err(error.into()),
    }
}

/// An attempt that does not wait, as a step of a wait.
pub fn attempt<R>(
    mode: &Mode<'_>,
    now: impl FnOnce() -> Result<R, TryPublishError>,
) -> Result<Step<R>, Failure> {
    debug_assert!(matches!(mode, Mode::Now(_)));
    match now() {
        Ok(done) => Ok(Step::Done(done)),
        Err(error) => full_is_not_yet(error),
    }
}
