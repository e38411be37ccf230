//! Errors as the Python classes that callers tell apart.

use pyo3::PyErr;

use crate::error::{Error, ErrorKind};

pyo3::import_exception!(coordinator.exceptions, Corrupt);
pyo3::import_exception!(coordinator.exceptions, Invalid);
pyo3::import_exception!(coordinator.exceptions, NotHeld);
pyo3::import_exception!(coordinator.exceptions, Unavailable);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = error.kind();
        match error.into_python() {
            // Raised by a caller's own callable: it goes through untouched.
            Some(raised) => raised,
            None => match kind {
                ErrorKind::NotHeld => NotHeld::new_err(message),
                ErrorKind::Unavailable => Unavailable::new_err(message),
                ErrorKind::Invalid => Invalid::new_err(message),
                ErrorKind::Corrupt => Corrupt::new_err(message),
            },
        }
    }
}

impl Error {
    fn into_python(self) -> Option<PyErr> {
        self.into_source()?.downcast::<PyErr>().ok().map(|raised| *raised)
    }
}
