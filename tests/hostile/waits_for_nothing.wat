;; Waits for a call of a set that has none.
;; group: calls
;; fails: trap
;; says: waits for nothing
(component
  (;memory;)
  (;sets;)
  (core module $m
    (import "sets" "set" (func $set (result i32)))
    (import "sets" "wait" (func $wait (param i32) (result i32)))
    (func (export "run") (param i32 i32) (result i32) (call $wait (call $set))))
  (core instance $i (instantiate $m (with "sets" (instance $sets))))
  (;skill;))
