"""The one public origin: how do people and programs reach Segue over HTTP?"""
