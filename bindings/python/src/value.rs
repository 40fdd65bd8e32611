//! Values of the newest and shared kind as Python objects: fields by the schema, or a short text, as those of the command.

use crate::argument::Payload;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMapping, PyMemoryView, PyTuple};
use slipring::schema::{Field, Kind, Schema};

/// The type of the values that the commands `slipring latest` and `slipring shared` keep.
const TEXT: &str = "Text{len:u64,bytes:u8[256]}";
/// The bytes of the length in front of a text.
const LEN: usize = 8;
/// The longest text.
const MAX: usize = 256;

slipring::message! {
    /// A type for calls to which the values do not matter.
    pub struct Any {
        /// A byte.
        pub byte: u8,
    }
}

/// What the values of an object are.
#[derive(Clone)]
pub struct Shape {
    schema: Schema,
    is_text: bool,
}

/// The schema of a text of `schema=`; without one, that of a text.
pub fn schema_of(given: Option<String>) -> PyResult<Schema> {
    let text = given.as_deref().unwrap_or(TEXT);
    text.parse()
        .map_err(|error| PyValueError::new_err(format!("schema: {error}")))
}

impl Shape {
    /// Of a schema, which every such object has.
    pub fn new(schema: Option<&Schema>) -> PyResult<Self> {
        let schema = schema.ok_or_else(|| PyValueError::new_err("its values have no schema"))?;
        Ok(Self {
            is_text: schema.without_hints().to_string() == TEXT,
            schema: schema.clone(),
        })
    }

    /// The schema as text.
    pub fn text(&self) -> String {
        self.schema.to_string()
    }

    /// Returns how many bytes a value has.
    pub fn bytes(&self) -> usize {
        self.schema.bytes() as usize
    }

    /// The numpy type.
    pub fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("slipring._numpy")?
            .call_method1("dtype", (self.text(),))
    }

    /// A numpy scalar of these bytes.
    pub fn numpy<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        py.import("slipring._numpy")?
            .call_method1("scalar", (PyBytes::new(py, bytes), self.text()))
    }

    /// The value that these bytes are.
    pub fn give<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if self.is_text {
            return Ok(PyBytes::new(py, text_in(bytes)).into_any());
        }
        let fields = PyDict::new(py);
        let mut at = 0;
        for field in self.schema.fields() {
            let end = at + field.bytes() as usize;
            let bytes = bytes.get(at..end).unwrap_or_default();
            fields.set_item(&field.name, give(py, field, bytes)?)?;
            at = end;
        }
        Ok(fields.into_any())
    }

    /// The bytes of a value: of this type in numpy, its fields by name or in order, or bytes.
    pub fn take(&self, given: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        if self.is_text {
            return text(&given.extract::<Payload<'_>>()?);
        }
        if given.hasattr("dtype")? {
            let numpy = given.py().import("slipring._numpy")?;
            let row = numpy.call_method1("row", (given, self.text()))?;
            return self.whole(&row.extract::<Payload<'_>>()?);
        }
        if let Ok(fields) = given.cast::<PyMapping>() {
            return self.fields_of(fields);
        }
        if given.is_instance_of::<PyTuple>() || given.is_instance_of::<PyList>() {
            return self.fields_in_order(&given.try_iter()?.collect::<PyResult<Vec<_>>>()?);
        }
        match given.extract::<Payload<'_>>() {
            Ok(bytes) => self.whole(&bytes),
            Err(_) => Err(PyTypeError::new_err(format!(
                "a value of {} is a mapping or a tuple of its fields, a numpy scalar, or bytes, and this is {given:?}",
                self.schema
            ))),
        }
    }

    fn whole(&self, bytes: &[u8]) -> PyResult<Vec<u8>> {
        exactly(bytes, self.bytes()).map(<[u8]>::to_vec)
    }

    fn fields_of(&self, given: &Bound<'_, PyMapping>) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.bytes());
        for Field { name, .. } in self.schema.fields() {
            if !given.contains(name)? {
                return Err(PyValueError::new_err(format!(
                    "the field {name} of {} is missing",
                    self.schema
                )));
            }
            bytes.extend(self.encode(name, &given.get_item(name)?)?.1);
        }
        for name in given.keys()?.iter() {
            let known = name.extract::<String>().ok();
            self.field(known.as_deref().unwrap_or_default())
                .map_err(|_| PyValueError::new_err(self.no_field(&name.to_string())))?;
        }
        Ok(bytes)
    }

    fn fields_in_order(&self, given: &[Bound<'_, PyAny>]) -> PyResult<Vec<u8>> {
        let fields = self.schema.fields();
        if given.len() != fields.len() {
            return Err(PyValueError::new_err(format!(
                "{} has {} fields, and {} are given",
                self.schema,
                fields.len(),
                given.len()
            )));
        }
        let mut bytes = Vec::with_capacity(self.bytes());
        for (field, value) in fields.iter().zip(given) {
            bytes.extend(self.encode(&field.name, value)?.1);
        }
        Ok(bytes)
    }

    /// One field of a value.
    pub fn get<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
        name: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (at, field) = self.field(name)?;
        let end = at + field.bytes() as usize;
        give(py, field, bytes.get(at..end).unwrap_or_default())
    }

    /// The bytes of a field, and where in a value they belong.
    pub fn encode(&self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<(usize, Vec<u8>)> {
        let (at, field) = self.field(name)?;
        let mut room = vec![0; field.bytes() as usize];
        take(field, &mut room, value).map_err(|error| {
            let text = format!("the field {field}: {}", error.value(value.py()));
            match error.is_instance_of::<PyTypeError>(value.py()) {
                true => PyTypeError::new_err(text),
                false => PyValueError::new_err(text),
            }
        })?;
        Ok((at, room))
    }

    /// Where a field begins.
    fn field(&self, name: &str) -> PyResult<(usize, &Field)> {
        let mut at = 0;
        for field in self.schema.fields() {
            if field.name == name {
                return Ok((at, field));
            }
            at += field.bytes() as usize;
        }
        Err(PyKeyError::new_err(self.no_field(name)))
    }

    fn no_field(&self, name: &str) -> String {
        format!("there is no field {name} in {}", self.schema)
    }
}

fn exactly(bytes: &[u8], size: usize) -> PyResult<&[u8]> {
    match bytes.len() == size {
        true => Ok(bytes),
        false => Err(PyValueError::new_err(format!(
            "{} bytes are given where {size} belong",
            bytes.len()
        ))),
    }
}

/// A text as the bytes of a value.
fn text(bytes: &[u8]) -> PyResult<Vec<u8>> {
    let mut value = vec![0; LEN + MAX];
    let (len, room) = value.split_at_mut(LEN);
    len.copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    match room.get_mut(..bytes.len()) {
        Some(room) => room.copy_from_slice(bytes),
        None => {
            return Err(PyValueError::new_err(format!(
                "a text of {} bytes is too large: {MAX} at most",
                bytes.len()
            )))
        }
    }
    Ok(value)
}

/// The text that a value is, however long another program says that it is.
fn text_in(value: &[u8]) -> &[u8] {
    let (len, room) = value.split_at_checked(LEN).unwrap_or_default();
    let len = len.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    room.get(..len.min(room.len())).unwrap_or_default()
}

fn give<'py>(py: Python<'py>, field: &Field, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if field.count > 1 && field.kind == Kind::U8 {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    let one = |bytes: &[u8]| element(py, field.kind, bytes);
    if field.count == 1 {
        return one(bytes);
    }
    let size = field.kind.bytes() as usize;
    let all = bytes.chunks_exact(size).map(one);
    Ok(PyList::new(py, all.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

fn take(field: &Field, room: &mut [u8], given: &Bound<'_, PyAny>) -> PyResult<()> {
    if field.count == 1 {
        return put_element(field.kind, room, given);
    }
    let is_bytes = given.is_instance_of::<PyBytes>()
        || given.is_instance_of::<PyByteArray>()
        || given.is_instance_of::<PyMemoryView>();
    if field.kind == Kind::U8 && is_bytes {
        let bytes = given.extract::<Payload<'_>>()?;
        room.copy_from_slice(exactly(&bytes, room.len())?);
        return Ok(());
    }
    let all = given.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    if all.len() != field.count as usize {
        return Err(PyValueError::new_err(format!(
            "{} elements are given, and it has {}",
            all.len(),
            field.count
        )));
    }
    let size = field.kind.bytes() as usize;
    for (room, given) in room.chunks_exact_mut(size).zip(&all) {
        put_element(field.kind, room, given)?;
    }
    Ok(())
}

macro_rules! elements {
    ($($kind:ident $type:ty),*) => {
        fn element<'py>(py: Python<'py>, kind: Kind, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
            match kind {
                Kind::F32 => {
                    let value = bytes.try_into().map(f32::from_le_bytes).unwrap_or_default();
                    Ok(value.into_pyobject(py)?.into_any())
                }
                $(Kind::$kind => {
                    let value = bytes.try_into().map(<$type>::from_le_bytes).unwrap_or_default();
                    Ok(value.into_pyobject(py)?.into_any())
                })*
            }
        }

        fn put_element(kind: Kind, room: &mut [u8], given: &Bound<'_, PyAny>) -> PyResult<()> {
            match kind {
                Kind::F32 => {
                    let wide: f64 = given.extract()?;
                    let narrow = wide as f32;
                    if narrow.is_infinite() && wide.is_finite() {
                        return Err(PyValueError::new_err(format!("{wide} is too large")));
                    }
                    room.copy_from_slice(&narrow.to_le_bytes());
                }
                $(Kind::$kind => {
                    let value: $type = given.extract()?;
                    room.copy_from_slice(&value.to_le_bytes());
                })*
            }
            Ok(())
        }
    };
}
elements!(U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F64 f64);
