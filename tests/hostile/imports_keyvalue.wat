;; Imports what this host does not have: `wasi:keyvalue/store@0.2.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:keyvalue/store@0.2.0
(component
  (import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func))))
  (;memory;)
  (;skill;))
