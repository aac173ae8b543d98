;; Makes resources of its own without end, and keeps them.
;; group: room
;; fails: trap
;; says: limits.handles
(component
  (;memory;)
  (type $own (resource (rep i32)))
  (core func $new (canon resource.new $own))
  (core instance $own-things (export "new" (func $new)))
  (core module $m
    (import "own" "new" (func $new (param i32) (result i32)))
    (func (export "run") (param i32 i32) (result i32)
      (loop $again (drop (call $new (i32.const 7))) (br $again)) unreachable))
  (core instance $i (instantiate $m (with "own" (instance $own-things))))
  (;skill;))
