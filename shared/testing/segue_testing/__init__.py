"""What tests of Segue share: how is a run of the system set up without its users?"""
