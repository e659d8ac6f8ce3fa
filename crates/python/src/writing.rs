//! Serialises any Python value as JSON.

use pudato_protocol::{DEPTH_MAX, blob, float};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

/// How often a value may be converted before it must be serialisable.
const CHANGES_MAX: usize = 8;

/// Why a value cannot be serialised, and its path, innermost step first.
pub(crate) struct Refused {
    pub(crate) steps: Vec<Step>,
    pub(crate) why: Why,
}

pub(crate) enum Step {
    Key(String),
    Index(usize),
}

pub(crate) enum Why {
    /// Python code has to be called, but the writer does not work on snapshots.
    Again,
    Rule(String),
    Raised(PyErr),
}

pub(crate) type Written = Result<(), Box<Refused>>;

impl Refused {
    fn new(why: Why) -> Box<Self> {
        let steps = Vec::new();
        Box::new(Self { steps, why })
    }

    pub(crate) fn rule(reason: impl Into<String>) -> Box<Self> {
        Self::new(Why::Rule(reason.into()))
    }

    pub(crate) fn within(mut self: Box<Self>, key: &str) -> Box<Self> {
        self.steps.push(Step::Key(key.to_owned()));
        self
    }

    pub(crate) fn at(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.steps.push(Step::Index(index));
        self
    }
}

impl From<PyErr> for Box<Refused> {
    fn from(error: PyErr) -> Self {
        Refused::new(Why::Raised(error))
    }
}

impl From<serde_json::Error> for Box<Refused> {
    fn from(error: serde_json::Error) -> Self {
        Refused::rule(error.to_string())
    }
}

/// Writes JSON.
pub(crate) struct Writer<'py> {
    pub(crate) py: Python<'py>,
    pub(crate) out: Vec<u8>,
    of_snapshots: bool,
}

impl<'py> Writer<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self {
            py,
            out: Vec::with_capacity(1_024),
            of_snapshots: false,
        }
    }

    /// Works on a copy of each dict, so that the code it calls may change the dict.
    pub(crate) fn of_snapshots(py: Python<'py>) -> Self {
        Self {
            of_snapshots: true,
            ..Self::new(py)
        }
    }

    /// Call this before any code that may change the value being serialised.
    pub(crate) fn is_about_to_call(&self) -> Written {
        match self.of_snapshots {
            true => Ok(()),
            false => Err(Refused::new(Why::Again)),
        }
    }

    /// Writes a value that is nested in `depth` arrays and objects.
    pub(crate) fn value(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Written {
        self.changed(value, depth, 0)
    }

    /// Writes a value that has been converted `changes` times.
    fn changed(&mut self, value: &Bound<'py, PyAny>, depth: usize, changes: usize) -> Written {
        if value.is_exact_instance_of::<PyString>() {
            self.string(value)
        } else if value.is_none() {
            self.out.extend_from_slice(b"null");
            Ok(())
        } else if let Ok(value) = value.cast_exact::<PyBool>() {
            self.json(&value.is_true())
        } else if let Ok(value) = value.cast_exact::<PyInt>() {
            self.int(value)
        } else if let Ok(value) = value.cast_exact::<PyFloat>() {
            self.float(value)
        } else if let Ok(value) = value.cast_exact::<PyDict>() {
            self.dict(value, depth)
        } else if let Ok(value) = value.cast_exact::<PyList>() {
            self.items(value.iter(), depth)
        } else {
            self.other(value, depth, changes)
        }
    }

    /// Writes a value that has none of the common types.
    fn other(&mut self, value: &Bound<'py, PyAny>, depth: usize, changes: usize) -> Written {
        let foreign = Foreign::get(self.py)?;
        let class = value.get_type();
        if class.is_subclass(foreign.enumeration.bind(self.py))? {
            // An enum may also derive from str or int. Its value is what counts.
        } else if let Ok(value) = value.cast::<PyTuple>() {
            return self.items(value.iter(), depth);
        } else if let Ok(value) = value.cast::<PyBytes>() {
            return self.json(&blob(value.as_bytes()));
        } else if let Ok(value) = value.cast::<PyByteArray>() {
            return self.json(&blob(&value.to_vec()));
        } else if value.is_instance_of::<PyString>() {
            return self.string(value);
        } else if let Ok(value) = value.cast::<PyFloat>() {
            return self.float(value);
        } else if let Ok(value) = value.cast::<PyInt>() {
            return self.int(value);
        } else if let Ok(value) = value.cast::<PyDict>() {
            return self.dict(value, depth);
        } else if let Ok(value) = value.cast::<PyList>() {
            return self.items(value.iter(), depth);
        }
        if changes == CHANGES_MAX {
            let reason = format!("it is still not a JSON value after {CHANGES_MAX} conversions");
            return Err(Refused::rule(reason));
        }
        self.is_about_to_call()?;
        let simple = foreign.simple.bind(self.py).call1((value,))?;
        if simple.is(foreign.unknown.bind(self.py)) {
            let (module, name) = (class.module()?, class.qualname()?);
            let reason = format!("expected a value that JSON can carry, found {module}.{name}");
            return Err(Refused::rule(reason));
        }
        self.changed(&simple, depth, changes + 1)
    }

    fn int(&mut self, value: &Bound<'py, PyInt>) -> Written {
        if let Ok(number) = value.extract::<i64>() {
            self.json(&number)
        } else if let Ok(number) = value.extract::<u64>() {
            self.json(&number)
        } else {
            // Integers of more than 64 bits become strings (docs/design/messages.md, "Values").
            self.string(value.str()?.as_any())
        }
    }

    fn float(&mut self, value: &Bound<'py, PyFloat>) -> Written {
        let value = value.value();
        match value.is_finite() {
            true => self.json(&value),
            false => self.json(&float(value)),
        }
    }

    fn string(&mut self, value: &Bound<'py, PyAny>) -> Written {
        let value = value.cast::<PyString>().map_err(PyErr::from)?;
        let text = self.text_of(value)?;
        self.text(text)
    }

    fn dict(&mut self, value: &Bound<'py, PyDict>, depth: usize) -> Written {
        let inner = deeper(depth)?;
        let start = self.out.len() + 1;
        self.out.push(b'{');
        if self.of_snapshots {
            for item in value.items() {
                let (key, value) = item.extract::<(Bound<'_, _>, Bound<'_, _>)>()?;
                self.separate(start);
                self.member(&key, &value, inner)?;
            }
        } else {
            for (key, value) in value {
                self.separate(start);
                self.member(&key, &value, inner)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn separate(&mut self, start: usize) {
        if self.out.len() > start {
            self.out.push(b',');
        }
    }

    /// Writes a key and its value.
    pub(crate) fn member(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Written {
        let Ok(key) = key.cast::<PyString>() else {
            let (class, shown) = (key.get_type().name()?, key.repr()?);
            let reason = format!("expected keys of type str, found {class} {shown}");
            return Err(Refused::rule(reason));
        };
        let name = self.text_of(key)?;
        self.text(name)?;
        self.out.push(b':');
        self.value(value, depth)
            .map_err(|refused| refused.within(name))
    }

    fn items(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Written {
        let inner = deeper(depth)?;
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(&item, inner)
                .map_err(|refused| refused.at(index))?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Returns the characters of a string.
    #[inline]
    pub(crate) fn text_of<'a>(
        &self,
        value: &'a Bound<'py, PyString>,
    ) -> Result<&'a str, Box<Refused>> {
        match value.to_str() {
            Ok(text) => Ok(text),
            Err(error) => Err(self.no_text(&error)),
        }
    }

    #[cold]
    fn no_text(&self, error: &PyErr) -> Box<Refused> {
        let start = error.value(self.py).getattr(intern!(self.py, "start"));
        let at = start.map_or_else(|_| String::new(), |start| format!(" at {start}"));
        Refused::rule(format!(
            "expected a string that can be encoded as UTF-8, found a lone surrogate{at}"
        ))
    }

    pub(crate) fn text(&mut self, text: &str) -> Written {
        self.json(text)
    }

    /// Writes the name of a field, which needs no escapes.
    pub(crate) fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(crate) fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Written {
        Ok(serde_json::to_writer(&mut self.out, value)?)
    }
}

/// The Python objects that this module needs, looked up once.
struct Foreign {
    enumeration: Py<PyType>,
    simple: Py<PyAny>,
    unknown: Py<PyAny>,
}

impl Foreign {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static FOREIGN: PyOnceLock<Foreign> = PyOnceLock::new();
        FOREIGN.get_or_try_init(py, || {
            let module = py.import("pudato._foreign")?;
            let enumeration = py.import("enum")?.getattr("Enum")?;
            Ok(Self {
                enumeration: enumeration.cast_into::<PyType>()?.unbind(),
                simple: module.getattr("simple")?.unbind(),
                unknown: module.getattr("UNKNOWN")?.unbind(),
            })
        })
    }
}

/// Returns the depth one level further in.
pub(crate) fn deeper(depth: usize) -> Result<usize, Box<Refused>> {
    match depth {
        DEPTH_MAX => Err(Refused::rule(format!(
            "nested deeper than {DEPTH_MAX} levels"
        ))),
        _ => Ok(depth + 1),
    }
}
