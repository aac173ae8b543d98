;; Imports what this host does not have: `wasi:http/outgoing-handler@0.2.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:http/outgoing-handler@0.2.0
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func))))
  (;memory;)
  (;skill;))
