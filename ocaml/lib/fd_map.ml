(* fd_map.ml - the child's descriptors, by target

   Used by command.ml, and given to the host as it is. *)

open Types

module Targets = Map.Make (Int)

type t = fd_source Targets.t

let empty = Targets.empty

let add target source map =
  if target < 0 then invalid_arg "Xlchild.Fd_map.add: a negative target";
  if Targets.mem target map then
    invalid_arg
      (Printf.sprintf "Xlchild.Fd_map.add: target %d is there already" target);
  Targets.add target source map

let of_list list =
  List.fold_left (fun map (target, source) -> add target source map) empty
    list

let to_list = Targets.bindings
